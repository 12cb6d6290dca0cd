// What is checked is a whole signature: one that our verifier refuses is a key that does not work.
import { createPrivateKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { nobleSigner } from '../../../device/keys/noble.ts';
import { KeyFailure, checkKey } from '../../../device/keys/store.ts';
import type { Signer } from '../../../src/cose.ts';
import { generatePem } from '../../../src/signer.ts';
import { reasonOfAsync } from '../stage.ts';

const good = nobleSigner(createPrivateKey(generatePem('ES256')), undefined);
const other = nobleSigner(createPrivateKey(generatePem('ES256')), undefined);
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The other signature of the same: as valid in itself, and refused by our profile. */
function highS(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`);
  const turned = (ORDER - s).toString(16).padStart(64, '0');
  return Uint8Array.from([...signature.subarray(0, 32), ...Buffer.from(turned, 'hex')]);
}

const signing = (sign: Signer['sign']): Signer => ({ key: good.key, sign });

test.each([
  ['signs', good, 'accepted'],
  ['signs with another key', signing(other.sign), 'bad_signature'],
  ['signs with high S', signing(async (bytes) => highS(await good.sign(bytes))), 'bad_signature'],
  ['gives no signature', signing(() => new Uint8Array(0)), 'bad_signature'],
  ['is away', signing(() => Promise.reject(new KeyFailure('away', 'no token'))), 'unavailable'],
] as const)('a key that %s', async (_how, signer, reason) => {
  expect(await reasonOfAsync(() => checkKey(signer))).toBe(reason);
});
