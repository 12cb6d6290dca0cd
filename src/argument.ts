/** An object as a person names it to a command: a file, a text that holds it, or standard input. */
import type { Context } from './command.ts';
import { OperatorError } from './errors.ts';
import { readInput as readObject } from './inspect.ts';

/** The bytes of the object; a file when one has that name. Throws OperatorError, `malformed`. */
export async function readArgument(
  { files, readInput }: Pick<Context, 'files' | 'readInput'>,
  input: string,
): Promise<Uint8Array> {
  if (input === '-') return readObject(await readInput());
  // An object in hex or in a link is longer than any file name, which the system calls an error.
  const isLink = input.startsWith('saytap://');
  const isPath = /[./\\]/.test(input) && !isLink;
  const bytes = isPath || (!isLink && input.length <= 255) ? files.read(input) : undefined;
  if (bytes) return readObject(bytes);
  if (isPath) throw new OperatorError('usage', `${input} does not exist`);
  try {
    return readObject(input);
  } catch (cause) {
    const why = 'is no file here, and neither hex nor base64url nor a saytap:// link';
    throw new OperatorError('usage', `${input.slice(0, 40)} ${why}`, { cause });
  }
}
