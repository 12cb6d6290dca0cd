/** Which known word was meant by one that is not known: for faults that say how to mend them. */

/**
 * The known word that is nearest, when it is so near that it was probably meant: at most two of
 * five letters are wrong, left out, too many or swapped with their neighbour. The first of equals.
 */
export function meant(found: string, known: readonly string[]): string | undefined {
  const word = found.slice(0, WORD_CHARS_MAX).toLowerCase();
  let best: Readonly<{ name: string; far: number }> | undefined;
  for (const name of known) {
    const far = distance(word, name.slice(0, WORD_CHARS_MAX).toLowerCase());
    const mayBe = far <= Math.max(1, Math.floor(Math.max(name.length, word.length) * 0.4));
    if (mayBe && far < name.length && far < (best?.far ?? Infinity)) best = { name, far };
  }
  return best?.name;
}

/** No word of the language is longer. */
const WORD_CHARS_MAX = 64;

/** Edits from one word to another, a swap of neighbours being one (optimal string alignment). */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let least = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (isSame ? 0 : 1));
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
