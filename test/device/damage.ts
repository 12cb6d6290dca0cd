/** What power cuts and worn cards do to a file, by a seed. */
import { readFileSync, writeFileSync } from 'node:fs';

/** Hurts a file in one of the ways in which cards and power cuts do; says how. */
export function damage(path: string, next: (below: number) => number): string {
  const bytes = readFileSync(path);
  if (bytes.length === 0) return 'was empty already';
  const at = next(bytes.length);
  const end = Math.min(bytes.length, at + 1 + next(2 * 4096));
  const save = (what: string, fresh: Uint8Array = bytes) => {
    writeFileSync(path, fresh);
    return what;
  };
  switch (next(6)) {
    case 0:
      bytes[at]! ^= 1 << next(8);
      return save(`a bit of byte ${at}`);
    case 1:
      bytes[at] = (bytes[at]! + 1 + next(255)) % 256;
      return save(`byte ${at}`);
    case 2:
      return save(`zeros from ${at} to ${end}`, bytes.fill(0, at, end));
    case 3:
      for (let place = at; place < end; place++) bytes[place] = next(256);
      return save(`noise from ${at} to ${end}`);
    case 4:
      return save(`cut at ${at}`, bytes.subarray(0, at));
    default: {
      const sector = at - (at % 512);
      // The last one of a write-ahead log is not whole.
      const zeros = bytes.fill(0, sector, Math.min(bytes.length, sector + 512));
      return save(`a sector of zeros at ${sector}`, zeros);
    }
  }
}
