/**
 * Foreign text made safe to look at: what cannot be seen, or turns the text around it, is written
 * out as its number.
 */

/**
 * Controls, format and bidi characters, unassigned ones, joiners and fillers that have no picture,
 * and every space but the ordinary one (Unicode UTS 39, UAX 9).
 */
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

/** The text with every hidden character as ⟨U+202E⟩. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (hidden) => {
    const number = hidden.codePointAt(0)!.toString(16).toUpperCase();
    return `⟨U+${number.padStart(4, '0')}⟩`;
  });
}

/** Columns of a terminal that this text takes: East Asian characters and emoji take two. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    columns += WIDE.test(character) ? 2 : 1;
  }
  return columns;
}

/** Blocks of Unicode that terminals draw two columns wide (UAX 11, roughly). */
const WIDE = new RegExp(
  '[\\u1100-\\u115f\\u2e80-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f' +
    '\\uff00-\\uff60\\uffe0-\\uffe6\\u{1f300}-\\u{1faff}\\u{20000}-\\u{3fffd}]',
  'u',
);
