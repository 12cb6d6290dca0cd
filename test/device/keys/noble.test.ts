// A signature of noble must hold under node:crypto, with low S, repeatable only without entropy.
import { createPrivateKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { toHex, utf8 } from '../../../src/bytes.ts';
import { lowS, openEnvelope, signEnvelope } from '../../../src/cose.ts';
import { encodeCbor } from '../../../src/cbor.ts';
import { generatePem, nodeSigner } from '../../../src/signer.ts';
import { nobleSigner } from '../../../device/keys/noble.ts';
import { REALM } from '../stage.ts';

const P256_HALF = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;
const sOf = (signature: Uint8Array) => BigInt(`0x${toHex(signature.subarray(32))}`);

test.each(['ES256', 'EdDSA'] as const)(
  '%s: the same key and envelope as node:crypto',
  async (algorithm) => {
    const handle = createPrivateKey(generatePem(algorithm));
    const noble = nobleSigner(handle, undefined);
    expect(noble.key.name).toBe(nodeSigner(handle).key.name);
    const payload = encodeCbor(new Map([[1, 2]]));
    const envelope = await signEnvelope(payload, REALM, 'request', noble);
    const opened = openEnvelope(envelope, REALM, 'request', () => nodeSigner(handle).key);
    expect(opened.payload).toEqual(new Map([[1, 2]]));
    expect(opened.key.algorithm).toBe(algorithm);
  },
);

test('ES256 has always low S, and is repeatable without entropy only', async () => {
  const handle = createPrivateKey(generatePem('ES256'));
  const plain = nobleSigner(handle, undefined);
  let calls = 0;
  const hedged = nobleSigner(handle, (count) => new Uint8Array(count).fill(++calls));
  const seen = new Set<string>();
  for (let n = 0; n < 40; n++) {
    const signature = await plain.sign(utf8(`message ${n}`));
    expect(signature).toHaveLength(64);
    expect(sOf(signature) <= P256_HALF).toBe(true);
    expect(lowS(signature)).toEqual(signature);
    expect(await plain.sign(utf8(`message ${n}`))).toEqual(signature);
    seen.add(toHex(await hedged.sign(utf8('one message'))));
  }
  expect(seen.size, 'every hedged signature is another').toBe(40);
  expect(calls).toBe(40);
});

test('zero entropy still signs validly, and not as without', async () => {
  const handle = createPrivateKey(generatePem('ES256'));
  const payload = encodeCbor(new Map([[1, 2]]));
  const zero = nobleSigner(handle, (count) => new Uint8Array(count));
  const envelope = await signEnvelope(payload, REALM, 'request', zero);
  expect(openEnvelope(envelope, REALM, 'request', () => zero.key).payload).toEqual(
    new Map([[1, 2]]),
  );
  const deterministic = await signEnvelope(
    payload,
    REALM,
    'request',
    nobleSigner(handle, undefined),
  );
  expect(toHex(envelope)).not.toBe(toHex(deterministic));
});
