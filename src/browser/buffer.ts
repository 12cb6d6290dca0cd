/**
 * As much of Buffer as src/bytes.ts uses as its codec, for a page: hexadecimal and base64url, with
 * the leniency of the original, which src/bytes.ts then refuses by writing the text again.
 */

/** The bytes of a buffer that can be written as text. */
class Codec extends Uint8Array {
  override toString(encoding?: 'hex' | 'base64url'): string {
    if (encoding === 'hex') {
      return Array.from(this, (byte) => byte.toString(16).padStart(2, '0')).join('');
    }
    const binary = Array.from(this, (byte) => String.fromCharCode(byte)).join('');
    return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  }
}

function from(text: string, encoding: 'hex' | 'base64url'): Uint8Array;
function from(buffer: ArrayBuffer, offset: number, length: number): Codec;
function from(
  source: string | ArrayBuffer,
  second: number | string,
  length?: number,
): Uint8Array | Codec {
  if (typeof source !== 'string') return new Codec(source, second as number, length);
  if (second === 'hex') {
    return Uint8Array.from(source.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  const kept = source
    .replace(/[^\w-]/g, '')
    .replaceAll('-', '+')
    .replaceAll('_', '/');
  const whole = kept.length % 4 === 1 ? kept.slice(0, -1) : kept;
  return Uint8Array.from(atob(whole), (character) => character.charCodeAt(0));
}

export const Buffer = Object.freeze({ from });
