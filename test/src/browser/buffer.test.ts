/** What stands for Buffer on a page reads and writes as Buffer does. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Buffer as Own } from '../../../src/browser/buffer.ts';

const bytes = fc.uint8Array({ maxLength: 100 });

test('bytes as text', () => {
  fc.assert(
    fc.property(bytes, fc.constantFrom('hex' as const, 'base64url' as const), (value, encoding) => {
      const { buffer, byteOffset, byteLength } = value;
      const own = Own.from(buffer as ArrayBuffer, byteOffset, byteLength).toString(encoding);
      expect(own).toBe(Buffer.from(value).toString(encoding));
      expect(Array.from(Own.from(own, encoding))).toEqual(Array.from(value));
    }),
  );
});

test('a text that is none reads as other bytes than it says, so that bytes.ts refuses it', () => {
  for (const text of ['=', 'A', 'AAAAA', '+/', 'A B', 'é']) {
    const read = Own.from(text, 'base64url');
    expect(Buffer.from(read).toString('base64url')).not.toBe(text);
  }
});
