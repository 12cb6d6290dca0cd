/** How large each kind is, beside the same content as JSON in a compact JWS (ES256). */
import { CompactSign, generateKeyPair } from 'jose';
import { toBase64url, utf8 } from '../src/bytes.ts';
import { payloadOf } from '../src/cose.ts';
import { KINDS, type KindName } from '../src/objects/kinds.ts';
import { type Kind } from '../src/objects/kind.ts';
import { row } from './table.ts';
import { sampleEnvelopes } from './samples.ts';

export async function measureBytes(write: (line: string) => void): Promise<void> {
  const { privateKey } = await generateKeyPair('ES256');
  write(`\n${row('Bytes per object (ES256)', 30, 'saytap', 'JSON + JWS', 'ratio')}`);
  for (const [title, kind, envelope] of await sampleEnvelopes()) {
    const value = (KINDS[kind as KindName] as Kind<unknown>).decode(payloadOf(envelope));
    const json = JSON.stringify(value, (_, item: unknown) =>
      typeof item === 'bigint'
        ? Number(item)
        : item instanceof Uint8Array
          ? toBase64url(item)
          : item,
    );
    const jws = await new CompactSign(utf8(json))
      .setProtectedHeader({ alg: 'ES256', kid: '0123456789abcdef', typ: `saytap-${kind}` })
      .sign(privateKey);
    const ratio = (envelope.length / jws.length).toFixed(2);
    write(row(title, 30, envelope.length, jws.length, ratio));
  }
}
