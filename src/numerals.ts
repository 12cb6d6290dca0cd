/**
 * Numbers as people say and write them, English and Chinese, as exact integers.
 *
 * A numeral is read only in a spelling that a careful speaker would use for that number: English by
 * a grammar without gaps, Chinese by spelling the value again and comparing. Anything else is
 * refused, because a numeral that is nearly well formed is two amounts, and one of them is wrong.
 */

/** No numeral of ours is longer; also bounds the work on noise. */
const NUMERAL_CHARS_MAX = 160;

/**
 * Composed (NFC) text with full-width forms made plain and runs of white space made one space, or
 * undefined when it hides characters (controls, zero-width, direction marks, lone surrogates).
 *
 * Full NFKC would turn "5²" into "52" and "½" into "1⁄2": a disguise must stay visible, so that no
 * grammar takes it for digits. Full-width forms are the only ones a Chinese keyboard produces.
 */
export function plainWriting(text: string): string | undefined {
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(text)) {
    return undefined;
  }
  return text
    .normalize('NFC')
    .replace(/[\uff01-\uff5e\uffe0-\uffe6]/g, (wide) => wide.normalize('NFKC'))
    .replace(/\s+/g, ' ')
    .trim();
}

const ONES = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
const TEENS = [
  ...['ten', 'eleven', 'twelve', 'thirteen', 'fourteen'],
  ...['fifteen', 'sixteen', 'seventeen', 'eighteen', 'nineteen'],
];
const TENS = ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'];
const SCALES = [
  ['trillion', 10n ** 12n],
  ['billion', 10n ** 9n],
  ['million', 10n ** 6n],
  ['thousand', 10n ** 3n],
] as const;

const ENGLISH: ReadonlyMap<string, bigint> = new Map([
  ...ONES.map((word, at) => [word, BigInt(at + 1)] as const),
  ...TEENS.map((word, at) => [word, BigInt(at + 10)] as const),
  ...TENS.map((word, at) => [word, BigInt(at * 10 + 20)] as const),
]);

const ONE = `(?:${ONES.join('|')})`;
const BELOW_100 = `(?:(?:${TENS.join('|')})(?:[ -]${ONE})?|${TEENS.join('|')}|${ONE})`;
const BELOW_1000 = `(?:${ONE} hundred(?:(?: and)? ${BELOW_100})?|${BELOW_100})`;
const GROUPS = SCALES.map(([scale]) => `(?:(${BELOW_1000}) ${scale} )?`).join('');
/** Every group ends in a space, so the text to match gets one at its end. */
const ENGLISH_WHOLE = new RegExp(`^(?!and )${GROUPS}((?:and )?${BELOW_100} |${BELOW_1000} )?$`);

/** The integer that lower-case English words spell ("a hundred and five"), or undefined. */
export function englishInteger(words: string): bigint | undefined {
  if (words === 'zero') return 0n;
  if (words === '' || words.length > NUMERAL_CHARS_MAX) return undefined;
  const spelled = words.replace(
    /^a (?=hundred\b|thousand\b|million\b|billion\b|trillion\b)/,
    'one ',
  );
  const groups = ENGLISH_WHOLE.exec(spelled + ' ');
  if (groups === null) return undefined;
  const scales = [...SCALES.map(([, scale]) => scale), 1n];
  return scales.reduce((sum, scale, at) => sum + scale * below1000(groups[at + 1] ?? ''), 0n);
}

/** The digits that English words name one by one ("oh five" → "05"), or undefined. */
export function englishDigits(words: string): string | undefined {
  const digits = words
    .split(' ')
    .map((word) => (/^(?:oh|zero)$/.test(word) ? '0' : String(ONES.indexOf(word) + 1 || 'x')));
  return digits.includes('x') ? undefined : digits.join('');
}

/** The value of words that ENGLISH_WHOLE has found well formed. */
function below1000(words: string): bigint {
  let value = 0n;
  for (const word of words.split(/[ -]/)) {
    value = word === 'hundred' ? value * 100n : value + (ENGLISH.get(word) ?? 0n);
  }
  return value;
}

const DIGITS = '零一二三四五六七八九';
const PLACES = ['', '十', '百', '千'];
const ORDINARY = '一二三四五六七八九十百千';
/** Cheque numerals (大写), simplified and traditional, in the order of ORDINARY. */
const FORMAL = ['壹', '贰貳', '叁參叄', '肆', '伍', '陆陸', '柒', '捌', '玖', '拾', '佰', '仟'];
/** Ten thousand times a hundred million: all that places up to 千亿 and 万亿 can name. */
const CHINESE_MAX = 10n ** 16n;

/**
 * The integer that Chinese numerals write, simplified, traditional or formal, or undefined.
 *
 * A last place may be left out where everyone understands it: 一百五 is 150, 一千五 1500 and 一万五
 * 15000; not 十万五 or 一亿五, which are heard in two ways, and never in formal numerals.
 */
export function chineseInteger(text: string): bigint | undefined {
  if (text === '' || text.length > NUMERAL_CHARS_MAX) return undefined;
  const formal = FORMAL.some((forms) => [...forms].some((form) => text.includes(form)));
  // Half cheque, half speech is not a spelling anyone uses.
  if (formal && /[一二两兩三四五六七八九十百千]/.test(text)) return undefined;

  const full = [...text]
    .map((char) => ORDINARY[FORMAL.findIndex((forms) => forms.includes(char))] ?? char)
    .join('')
    .replace(/〇/g, '零')
    .replace(/萬/g, '万')
    .replace(/億/g, '亿')
    .replace(/[两兩](?=[百千万亿]|(?<=^.)$)/g, '二')
    .replace(/^十/, '一十');
  const value = evaluate(full);
  if (value === undefined || value >= CHINESE_MAX) return undefined;
  if (spell(value) === full) return value;

  const place = formal
    ? undefined
    : /(?:([百千])|^[一二三四五六七八九](万))[一二三四五六七八九]$/.exec(full);
  const omitted = { 百: '十', 千: '百', 万: '千' }[place?.[1] ?? place?.[2] ?? ''];
  if (omitted === undefined) return undefined;
  const completed = evaluate(full + omitted);
  return completed !== undefined && spell(completed) === full + omitted ? completed : undefined;
}

/** The digits that Chinese characters name one by one ("零五" → "05"), or undefined. */
export function chineseDigits(text: string): string | undefined {
  if (!/^[零〇一二三四五六七八九]+$/.test(text)) return undefined;
  return [...text].map((char) => Math.max(0, DIGITS.indexOf(char))).join('');
}

/** The value by places, too generous on purpose: `spell` decides whether it was well formed. */
function evaluate(text: string): bigint | undefined {
  for (const [place, unit] of [
    ['亿', 10n ** 8n],
    ['万', 10n ** 4n],
    ['千', 1000n],
    ['百', 100n],
    ['十', 10n],
  ] as const) {
    const at = text.lastIndexOf(place);
    if (at < 0) continue;
    const count = evaluate(text.slice(0, at));
    const rest = at + 1 === text.length ? 0n : evaluate(text.slice(at + 1));
    return count === undefined || rest === undefined ? undefined : count * unit + rest;
  }
  const digit = DIGITS.indexOf(/^零?(.)$/.exec(text)?.[1] ?? '?');
  return digit < 0 ? undefined : BigInt(digit);
}

/** The one full spelling of a value below CHINESE_MAX, with 二 throughout and 一十 for ten. */
function spell(value: bigint): string {
  if (value === 0n) return '零';
  const [unit, name] = value >= 10n ** 8n ? [10n ** 8n, '亿'] : [10n ** 4n, '万'];
  if (value < unit) return spellSection(value);
  const rest = value % unit;
  // 零 stands for the places skipped between two sections (GB/T 15835-2011 spells them so).
  const gap = rest > 0n && rest < unit / 10n ? '零' : '';
  return spell(value / unit) + name + gap + (rest === 0n ? '' : spell(rest));
}

function spellSection(value: bigint): string {
  return [...value.toString()]
    .map((digit, at, digits) =>
      digit === '0' ? '零' : DIGITS[Number(digit)]! + PLACES[digits.length - 1 - at]!,
    )
    .join('')
    .replace(/零+/g, '零')
    .replace(/零$/, '');
}
