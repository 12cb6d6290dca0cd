/** Codec, gate and signatures on one core, with noble beside node:crypto. */
import { generateKeyPairSync } from 'node:crypto';
import { decodeCbor } from '../src/cbor.ts';
import { type Signer, aadOf, sigStructure, signEnvelope } from '../src/cose.ts';
import { concat } from '../src/bytes.ts';
import { open } from '../src/objects/kind.ts';
import { request as requestKind, type Request } from '../src/objects/request.ts';
import { nodeSigner } from '../src/signer.ts';
import { nobleSigner } from '../device/keys/noble.ts';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { PAYEE, REALM } from './plant.ts';
import { row } from './table.ts';

const REQUEST: Request = {
  exp: 1_795_000_000,
  action: 'pay',
  mandate: '00112233445566778899aabbccddeeff',
  counter: 418,
  amount: { currency: 'CNY', minor: 12_50n },
  payee: PAYEE,
  terminal: 'till0001',
  presence: 2,
  channel: 'tap',
  nonce: new Uint8Array(8),
};

export async function measureCodec(write: (line: string) => void): Promise<void> {
  write(`\n${row('Codec and signatures, CPU time of one core', 48, 'µs each', 'per second')}`);
  const tell = (title: string, us: number) =>
    write(row(title, 48, us.toFixed(2), Math.round(1e6 / us)));

  const payload = requestKind.encode(REQUEST);
  tell('encode a request', await each(50_000, () => void requestKind.encode(REQUEST)));
  tell('gate + decode to values', await each(50_000, () => void decodeCbor(payload)));
  tell(
    'gate + decode to a checked request',
    await each(50_000, () => void requestKind.decode(decodeCbor(payload))),
  );

  for (const [algorithm, pair] of [
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['EdDSA', generateKeyPairSync('ed25519')],
  ] as const) {
    const node = nodeSigner(pair.privateKey);
    const noble = nobleSigner(pair.privateKey, (count) =>
      crypto.getRandomValues(new Uint8Array(count)),
    );
    const byNode = await signing(node, 3_000);
    const byNoble = await signing(noble, 300);
    tell(`${algorithm} encode + sign, node:crypto`, byNode);
    tell(`${algorithm} encode + sign, noble (a device)`, byNoble);

    const envelope = await signEnvelope(payload, REALM, 'request', node);
    const verified = await each(
      3_000,
      () => void open(requestKind, envelope, REALM, () => node.key),
    );
    const signed = await each(150, () => void nobleVerifies(envelope, node));
    tell(`${algorithm} verify + gate + decode, node:crypto`, verified);
    tell(`${algorithm} verify, noble`, signed);
    const ratios = [byNoble / byNode, signed / verified].map((ratio) => ratio.toFixed(1));
    write(`  ${algorithm} noble ÷ node: sign ${ratios[0]}, verify ${ratios[1]}`);
  }
}

function signing(signer: Signer, rounds: number): Promise<number> {
  return each(rounds, () => signEnvelope(requestKind.encode(REQUEST), REALM, 'request', signer));
}

function nobleVerifies(envelope: Uint8Array, signer: Signer): boolean {
  const [header, , payload, signature] = decodeCbor(envelope.subarray(1)) as readonly Uint8Array[];
  const bytes = sigStructure(header!, aadOf(REALM, 'request'), payload!);
  const key = signer.key.public;
  return key.algorithm === 'EdDSA'
    ? ed25519.verify(signature!, bytes, key.x)
    : p256.verify(signature!, bytes, concat(Uint8Array.of(4), key.x, key.y), { prehash: true });
}

/** CPU microseconds of one round, the best of five batches: what the work costs undisturbed. */
async function each(rounds: number, run: () => unknown): Promise<number> {
  let best = Infinity;
  for (let batch = 0; batch < 5; batch++) {
    const start = process.cpuUsage();
    for (let i = 0; i < rounds; i++) await run();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / rounds);
  }
  return best;
}
