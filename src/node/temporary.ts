/** A folder for as long as a program runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes an empty folder that only this user may enter; `remove` takes all that is in it. */
export function makeTemporary(): Readonly<{ folder: string; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-'));
  return Object.freeze({
    folder,
    // A program that was told to stop may still close a file.
    remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  });
}
