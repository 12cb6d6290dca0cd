/**
 * Somebody inside the broker who puts in what no program of this world has made: noise, messages
 * that were cut or changed or signed by a key that nobody let in, and true ones for somebody else.
 *
 * Nothing of it may count. What a forger has to begin with was overheard, so most forgeries differ
 * from something true by one thing alone, which is what a check may forget. Each is noted as what
 * it is before it is put in; the checker looks past it, and asks that nobody takes it for true.
 */
import { bytesEqual, concat } from '../src/bytes.ts';
import { type Signer, identify, kidOf, payloadOf, signEnvelope } from '../src/cose.ts';
import { encodeCbor } from '../src/cbor.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { VERSION, downTopic, parseTopic } from '../src/topics.ts';
import type { Chance } from './chance.ts';
import type { Observe, Observed } from './observed.ts';
import type { Act } from './plan.ts';
import { type Site, privateKey } from './site.ts';

type Forge = Extract<Act, { act: 'forge' }>;
type Letter = Readonly<{ topic: string; bytes: Uint8Array }>;

/** Does what an act says; nothing when nobody has said anything yet that it could be made of. */
export function createForger(
  parts: Readonly<{
    site: Site;
    chance: Chance;
    observed: readonly Observed[];
    observe: Observe;
    /** Hands it to all who listen, as if it had come to the broker. */
    insert: (topic: string, bytes: Uint8Array) => void;
  }>,
): (act: Forge) => Promise<void> {
  const { site, chance, observed, observe, insert } = parts;
  const { realm, algorithm } = site;
  let stranger: Signer | undefined;
  /** Nothing is made of a forgery. */
  const inserted = new Set<Uint8Array>();
  const keyOfNobody = () =>
    (stranger ??= site.signerOf(privateKey(algorithm, chance.fork('stranger'))));

  function overheard(start: string): Letter | undefined {
    const found = observed.findLast(
      (one) =>
        one.what === 'wire' &&
        one.topic.startsWith(start) &&
        isEnvelope(one.bytes) &&
        !inserted.has(one.bytes),
    );
    return found?.what === 'wire' ? found : undefined;
  }

  /** The same words under another key, which may call itself by the true one's hint. */
  async function sealedByNobody({ topic, bytes }: Letter, own: Chance): Promise<Letter> {
    const { tail } = parseTopic(topic)!;
    const signer = keyOfNobody();
    const key = own.happens(0.5) ? signer.key : { ...signer.key, kid: kidOf(bytes) };
    const payload = encodeCbor(payloadOf(bytes));
    return { topic, bytes: await signEnvelope(payload, realm, tail, { ...signer, key }) };
  }

  /** What a device would like to hear of what it asked for, in the name of whoever said `model`. */
  async function receiptOfNobody(device: string, model: Letter, own: Chance) {
    const asked = overheard(`${VERSION}/${device}/up/request`);
    if (!asked) return sealedByNobody(model, own);
    const { amount } = requestKind.decode(payloadOf(asked.bytes));
    const { id } = identify(asked.bytes, realm, requestKind.name);
    const iat = Math.floor(site.startMs / 1000);
    const payload = receiptKind.encode(
      own.happens(0.5)
        ? { iat, subject: id, outcome: 'captured', ...(amount && { amount }) }
        : { iat, subject: id, outcome: 'refused', reason: 125 },
    );
    const signer = keyOfNobody();
    const key = { ...signer.key, kid: kidOf(model.bytes) };
    const bytes = await signEnvelope(payload, realm, receiptKind.name, { ...signer, key });
    return { topic: downTopic(device, 'receipt'), bytes };
  }

  async function forged(act: Forge, model: Letter, own: Chance): Promise<Letter> {
    const { topic, bytes } = model;
    const { device, way, tail } = parseTopic(topic)!;
    switch (act.forgery) {
      case 'noise':
        return { topic, bytes: own.bytes(own.between(1, 300)) };
      case 'cut short':
        return { topic, bytes: bytes.slice(0, own.below(bytes.length)) };
      case 'loose': {
        // The length of the header in two bytes where one is enough (RFC 8949 §4.2.1).
        const head = Uint8Array.of(0x58, bytes[2]! & 0x1f);
        return { topic, bytes: concat(bytes.slice(0, 2), head, bytes.slice(3)) };
      }
      case 'altered': {
        const changed = Uint8Array.from(bytes);
        changed[own.below(changed.length)]! ^= 1 << own.below(8);
        return { topic, bytes: changed };
      }
      case 'strange key':
        return way === 'down' ? receiptOfNobody(device, model, own) : sealedByNobody(model, own);
      case 'elsewhere': {
        const other = own.pick(site.devices.filter(({ name }) => name !== device)).name;
        return { topic: `${VERSION}/${other}/${way}/${tail}`, bytes: Uint8Array.from(bytes) };
      }
      case 'other kind': {
        const kind = own.pick(KINDS[way].filter((one) => one !== tail));
        return { topic: `${VERSION}/${device}/${way}/${kind}`, bytes: Uint8Array.from(bytes) };
      }
      case 'again':
        return { topic, bytes: Uint8Array.from(bytes) };
    }
  }

  return async (act) => {
    const own = chance.fork(act.name);
    const model = overheard(`${VERSION}/${act.device}/${act.way}/`);
    if (!model) return;
    const { topic, bytes } = await forged(act, model, own);
    if (act.forgery !== 'again' && bytesEqual(bytes, model.bytes) && topic === model.topic) return;
    observe({ what: 'forged', forgery: act.forgery, topic, bytes });
    inserted.add(bytes);
    insert(topic, bytes);
  };
}

const KINDS = {
  up: ['request', 'query', 'order', 'mandate', 'revoke'],
  down: ['receipt', 'tick'],
} as const;

/** Not noise itself, and not the one answer that is never signed. */
function isEnvelope(bytes: Uint8Array): boolean {
  return bytes.length > 100 && bytes[0] === 0xd2;
}
