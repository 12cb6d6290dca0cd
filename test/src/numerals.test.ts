/** Numerals: an independent speller writes each number, and the reader must give it back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chineseDigits,
  chineseInteger,
  englishDigits,
  englishInteger,
  plainWriting,
} from '../../src/numerals.ts';

const NUMBERS_MAX = 99_999;

describe('every number from 1 to 99,999', () => {
  test('spelled in English, with and without "and", is read back', () => {
    for (let number = 1; number <= NUMBERS_MAX; number++) {
      for (const and of [' and ', ' ']) {
        const words = spellEnglish(number, and);
        if (englishInteger(words) !== BigInt(number)) expect.fail(`${words} is ${number}`);
      }
    }
  });

  test('spelled in Chinese, simplified, traditional and formal, is read back', () => {
    for (let number = 1; number <= NUMBERS_MAX; number++) {
      const plain = spellChinese(number);
      for (const text of [plain, plain.replace('万', '萬'), formal(plain)]) {
        if (chineseInteger(text) !== BigInt(number)) expect.fail(`${text} is ${number}`);
      }
    }
  });

  test('a Chinese numeral with two neighbours exchanged is never read as the first number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: NUMBERS_MAX }), fc.nat(9), (number, at) => {
        const chars = [...spellChinese(number)];
        fc.pre(at + 1 < chars.length && chars[at] !== chars[at + 1]);
        [chars[at], chars[at + 1]] = [chars[at + 1]!, chars[at]!];
        expect(chineseInteger(chars.join(''))).not.toBe(BigInt(number));
      }),
    );
  });
});

test.each<[string, bigint | undefined, string]>([
  ['zero', 0n, 'zero is a number, though no amount'],
  ['a hundred and five', 105n, 'a is one before a scale'],
  ['a million', 1_000_000n, 'also before greater scales'],
  ['twenty-five', 25n, 'hyphen between ten and unit'],
  ['nine hundred trillion', 900_000_000_000_000n, 'the greatest scale'],
  ['one thousand and six', 1006n, 'and before the last small group'],
  ['', undefined, 'nothing'],
  ['a', undefined, 'an article alone is no number'],
  ['and five', undefined, 'and joins, it does not begin'],
  ['hundred', undefined, 'a scale without a count'],
  ['five-twenty', undefined, 'hyphen in the wrong place'],
  ['twenty hundred twelve nine', undefined, 'three numbers, not one'],
  ['one one', undefined, 'digits are not a number'],
  ['one thousand and six hundred', undefined, 'and before a hundred joins two numbers'],
  ['five thousand two thousand', undefined, 'a scale twice'],
  ['one thousand two million', undefined, 'scales that grow'],
  ['twenty zero', undefined, 'zero is no unit'],
  ['Twenty', undefined, 'the caller folds case'],
  ['one'.padEnd(4000, ' one'), undefined, 'noise is bounded'],
])('English %s is %s: %s', (words, value) => {
  expect(englishInteger(words)).toBe(value);
});

test.each<[string, bigint | undefined, string]>([
  ['零', 0n, 'zero is a number'],
  ['十', 10n, 'ten without one'],
  ['一十', 10n, 'ten with one'],
  ['两百', 200n, '两 before a hundred'],
  ['二百', 200n, '二 before a hundred'],
  ['兩萬兩千', 22_000n, 'traditional'],
  ['壹佰', 100n, 'formal'],
  ['貳萬零伍佰', 20_500n, 'formal traditional'],
  ['一百五', 150n, 'the last place left out'],
  ['一千五', 1500n, 'the last place left out'],
  ['三千二百五', 3250n, 'the last place left out'],
  ['一万五', 15_000n, 'the last place left out'],
  ['一百零五', 105n, 'zero says that the place is not left out'],
  ['一亿零五千', 100_005_000n, 'a section skipped'],
  ['一万亿', 1_000_000_000_000n, '万 counts 亿'],
  ['', undefined, 'nothing'],
  ['二二十', undefined, 'two and twenty'],
  ['一二三', undefined, 'digits are not a number'],
  ['两十', undefined, '两 does not count tens'],
  ['一百零零五', undefined, 'zero twice'],
  ['一百零五十', undefined, 'zero for a place that is there'],
  ['一千五十', undefined, 'a skipped place without zero'],
  ['一万五百', undefined, 'a skipped place without zero'],
  ['十万五', undefined, '105,000 to one person, 100,005 to the next'],
  ['一亿五', undefined, 'heard in two ways'],
  ['一百十五', undefined, 'ten inside a number has its one'],
  ['壹佰五', undefined, 'formal and ordinary mixed'],
  ['壹佰伍', undefined, 'nothing is left out in formal numerals'],
  ['五百一千', undefined, 'places that grow'],
  ['零五', undefined, 'zero before nothing'],
  ['百', undefined, 'a place without a count'],
  ['1百', undefined, 'mixed writing'],
  ['亿'.repeat(5000), undefined, 'noise is bounded'],
])('Chinese %s is %s: %s', (text, value) => {
  expect(chineseInteger(text)).toBe(value);
});

test('digits one by one', () => {
  expect(englishDigits('oh five')).toBe('05');
  expect(englishDigits('five zero')).toBe('50');
  expect(englishDigits('fifty')).toBeUndefined();
  expect(chineseDigits('零五')).toBe('05');
  expect(chineseDigits('一〇')).toBe('10');
  expect(chineseDigits('五十')).toBeUndefined();
  expect(chineseDigits('')).toBeUndefined();
});

test.each<[string, string | undefined, string]>([
  ['１２．５　元', '12.5 元', 'full-width forms are the same characters'],
  ['  a \u00a0 b ', 'a b', 'white space is one space'],
  ['5²', '5²', 'a superscript stays what it is'],
  ['½', '½', 'a fraction stays what it is'],
  ['a\u200bb', undefined, 'zero-width space'],
  ['a\u202eb', undefined, 'right-to-left override'],
  ['a\u2066b', undefined, 'isolate'],
  ['a\u0007b', undefined, 'control'],
  ['a\u3164b', undefined, 'Hangul filler: a letter that shows nothing'],
  ['a\ud800b', undefined, 'lone surrogate'],
])('plainWriting(%j) is %j: %s', (text, plain) => {
  expect(plainWriting(text)).toBe(plain);
});

/** Written apart from src/numerals.ts: by division, not by grammar. */
function spellEnglish(number: number, and: string): string {
  const small = [
    ...' one two three four five six seven eight nine ten eleven twelve'.split(' '),
    ...'thirteen fourteen fifteen sixteen seventeen eighteen nineteen'.split(' '),
  ];
  const tens = '  twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
  if (number < 20) return small[number]!;
  if (number < 100) {
    return tens[Math.floor(number / 10)]! + (number % 10 ? ` ${small[number % 10]!}` : '');
  }
  const [unit, name] = number < 1000 ? [100, 'hundred'] : [1000, 'thousand'];
  const rest = number % unit;
  const join = rest < 100 ? and : ' ';
  const head = `${spellEnglish(Math.floor(number / unit), and)} ${name}`;
  return rest ? head + join + spellEnglish(rest, and) : head;
}

function spellChinese(number: number): string {
  const digits = [...'零一二三四五六七八九'];
  let text = '';
  let skipped = false;
  for (const [unit, name] of [
    [10_000, '万'],
    [1000, '千'],
    [100, '百'],
    [10, '十'],
    [1, ''],
  ] as const) {
    const digit = Math.floor(number / unit) % 10;
    if (digit === 0) skipped = text !== '';
    else {
      text +=
        (skipped ? '零' : '') + (text === '' && digit === 1 && unit === 10 ? '' : digits[digit]);
      text += name;
      skipped = false;
    }
  }
  return text;
}

function formal(text: string): string {
  const ordinary = [...'一二三四五六七八九十百千'];
  return [...text]
    .map((char) => [...'壹贰叁肆伍陆柒捌玖拾佰仟'][ordinary.indexOf(char)] ?? char)
    .join('');
}
