/** Readings of utterances: what was said, or a miss; never another payee or amount. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CONFIRM_PHRASES, readUtterance } from '../../../device/intents/reading.ts';
import { createDirectory, type Payee } from '../../../device/payees.ts';
import { UTTERANCE_CHARS_MAX } from '../../../src/limits.ts';
import { parseMoney } from '../../../src/money.ts';

const PAYEES: readonly Payee[] = [
  payee('luckin', 'Luckin Coffee', '瑞幸咖啡'),
  payee('north', 'Noodle Bar', '面馆'),
  payee('south', 'noodle bar', '麵館'),
  payee('yahoo', 'Yahoo!', '雅虎'),
  payee('back', 'Back to Black', '支付宝'),
  payee('please', 'Coffee Please', '请客'),
  payee('twenty', 'Tea House Twenty', '老王二十'),
];
const directory = createDirectory(PAYEES);

describe('payments', () => {
  test.each([
    ['pay 12.50 yuan to Luckin Coffee', 'luckin 1250 CNY', 'amount first'],
    ['send twelve yuan fifty to luckin coffee', 'luckin 1250 CNY', 'words'],
    ['pay luckin coffee 20 yuan', 'luckin 2000 CNY', 'payee first'],
    ['pay luckin coffee twenty five yuan', 'luckin 2500 CNY', 'all of the number'],
    ['Hey saytap, um, please pay $3 to Luckin Coffee, please.', 'luckin 300 USD', 'skip words'],
    ['ok saytap pay Back to Black 5 yuan', 'back 500 CNY', 'a name with "to"'],
    ['pay 5 yuan to Back to Black', 'back 500 CNY', 'a name with "to"'],
    ['pay 5 yuan to Yahoo!', 'yahoo 500 CNY', 'a name that ends in a mark'],
    ['pay 5 yuan to Coffee Please', 'please 500 CNY', 'a name that ends in a skip word'],
    ['付二十元给瑞幸咖啡', 'luckin 2000 CNY', 'amount first'],
    ['给瑞幸咖啡付二十元', 'luckin 2000 CNY', 'payee first'],
    ['支付12.5元给瑞幸咖啡', 'luckin 1250 CNY', 'digits'],
    ['向瑞幸咖啡支付二十元', 'luckin 2000 CNY', '向'],
    ['付给瑞幸咖啡二十五元', 'luckin 2500 CNY', 'all of the number'],
    ['請付兩塊五給瑞幸咖啡', 'luckin 250 CNY', 'traditional'],
    ['嗯，请付，二十元，给那个 瑞幸 咖啡。', 'luckin 2000 CNY', 'skip words, marks and spaces'],
    ['给支付宝付二十元', 'back 2000 CNY', 'a name with the verb in it'],
    ['给请客付二十元', 'please 2000 CNY', 'a name that begins with a skip word'],
    ['ok saytap 付二十元给瑞幸咖啡', 'luckin 2000 CNY', 'prefix'],
  ])('%j pays %s: %s', (text, paid) => {
    for (const language of ['en', 'zh'] as const) expect(read(text, language)).toBe(`pay ${paid}`);
  });

  test.each([
    ['pay 5 yuan to Noodle Bar', 'ask_payee north+south 500 CNY', 'two of one name'],
    ['pay Luckin Coffee', 'ask_amount luckin', 'no amount'],
    ['付瑞幸咖啡', 'ask_amount luckin', 'no amount'],
    ['给瑞幸咖啡付款', 'ask_amount luckin', 'no amount'],
    ['12.50 yuan', 'amount 1250 CNY', 'answers the question for the amount'],
    ['二十元', 'amount 2000 CNY', 'answers the question for the amount'],
    ['付二十元', 'amount 2000 CNY', 'no payee'],
    ['pay noodle bar', 'no_match', 'two of one name and no amount'],
    ['pay 5 to Luckin Coffee', 'no_currency', 'no unit'],
    ['pay luckin coffee five', 'no_currency', 'no unit'],
    ['付五给瑞幸咖啡', 'no_currency', 'no unit'],
    ['pay ¥5 to Luckin Coffee', 'no_currency', 'the sign of two currencies'],
    ['5', 'no_currency', 'no unit'],
    ['pay 5 yuan to Starbucks', 'unknown_payee Starbucks', 'nobody of that name'],
    ['pay Starbucks 5 yuan', 'unknown_payee Starbucks', 'nobody of that name'],
    ['付五元给星巴克', 'unknown_payee 星巴克', 'nobody of that name'],
    ['pay 5 yuan to Luckin', 'unknown_payee Luckin', 'part of a name'],
    ['pay 90071992547409.92 yuan to Luckin Coffee', 'out_of_bounds', 'beyond 2^53 − 1'],
    ['pay 0 yuan to Luckin Coffee', 'out_of_bounds', 'nothing'],
    ['pay tea house twenty five yuan', 'unknown_payee tea house', '"five yuan" is a leftover'],
    ['付老王二十五元', 'unknown_payee 老王', '五元 is a leftover'],
    ['pay', 'no_match', 'nothing'],
    ['', 'no_match', 'nothing'],
    ['pay 5 yuan 6 yuan', 'unknown_payee 5 yuan', 'two amounts'],
    ['please', 'no_match', 'only a skip word'],
    ['repay 5 yuan to Luckin Coffee', 'no_match', 'the verb is a whole word'],
    ['I did not pay 5 yuan to Luckin Coffee', 'no_match', 'the whole utterance is the sentence'],
    ['pay 5 yuan to Luckin\u200b Coffee', 'no_match', 'hidden character'],
    ['pay 5\u202e yuan to Luckin Coffee', 'no_match', 'direction mark'],
    ['pay 5 yuan\tto Luckin Coffee', 'no_match', 'control character'],
    ['pay '.padEnd(UTTERANCE_CHARS_MAX + 1, 'x'), 'too_long', 'longer than a payment'],
  ])('%j is %s: %s', (text, reading) => {
    for (const language of ['en', 'zh'] as const) expect(read(text, language)).toBe(reading);
  });

  test.each([
    ['pay .5 yuan to Luckin Coffee', 'a point before the digit'],
    ['pay um .5 yuan to Luckin Coffee', 'also after a skip word'],
    ['付瑞幸咖啡.5元', 'a point at the border'],
    ['付瑞幸咖啡1,500元', 'grouping'],
    ['pay 5 yuan no 6 yuan to Luckin Coffee', 'a correction'],
    ['pay five to ten yuan to Luckin Coffee', 'a range'],
    ['pay -5 yuan to Luckin Coffee', 'a sign'],
    ['pay 5² yuan to Luckin Coffee', 'a superscript'],
    ['pay twenty um five yuan to Luckin Coffee', 'a skip word inside the amount'],
  ])('%j is a miss: %s', (text) => {
    expect(readUtterance(text, { directory, language: 'en' }).kind).toBe('miss');
  });

  test('two readings that differ are none', () => {
    const both = createDirectory([
      payee('short', 'Tea House', '老王'),
      payee('long', 'Tea House Twenty', '老王二十'),
    ]);
    for (const text of ['pay tea house twenty five yuan', '付老王二十五元']) {
      const reading = readUtterance(text, { directory: both, language: 'en' });
      expect(reading).toEqual({ kind: 'miss', why: 'no_match' });
    }
  });
});

describe('words', () => {
  test.each([
    ...[...CONFIRM_PHRASES.en, ...CONFIRM_PHRASES.zh].map((text) => [text, 'confirm']),
    ...['Confirm payment.', 'yes, pay', '确认 支付。'].map((text) => [text, 'confirm']),
    ...['cancel', 'Stop!', 'no', '取消', '不', '不要', '停'].map((text) => [text, 'cancel']),
    ...['no, confirm payment', 'confirm no', 'confirm, cancel'].map((text) => [text, 'cancel']),
    ...["don't pay", 'do not confirm', 'pay stop'].map((text) => [text, 'cancel']),
    ...['不确认', '确认，不', '不要支付', '取消付款'].map((text) => [text, 'cancel']),
    ['pay 5 yuan to Luckin Coffee, cancel', 'cancel'],
    ...['balance', "What's my balance?", '余额', '查餘額'].map((text) => [text, 'balance']),
    ...['help', 'what can I say?', '帮助'].map((text) => [text, 'help']),
    ...['receipts', 'please show my receipts', '收据'].map((text) => [text, 'receipts']),
    ...['quit', 'exit', '退出'].map((text) => [text, 'quit']),
    ...['pay this', 'Pay this code.', '付这个', '扫码付款', '请扫码付款'].map((text) => [
      text,
      'look',
    ]),
  ])('%j is %s', (text, kind) => {
    expect(read(text!, 'en')).toBe(kind);
  });

  test.each([
    ...[
      'yes',
      'ok',
      'okay',
      'sure',
      'yeah',
      'pay',
      'go ahead',
      '好',
      '对',
      '是',
      '确',
      'ok saytap',
    ],
    ...['confirm payment?', '确认支付？', 'confirm confirm', 'please confirm', 'I confirm'],
    ...['confirmed', 'confirm payments', 'co nfirm', '确认吗', '确认确认'],
  ])('%j does not confirm', (text) => {
    expect(read(text, 'en')).toBe('no_match');
  });
});

describe('noise', () => {
  const numbers = [
    ...[
      '5',
      '12.5',
      '12.50',
      'twelve',
      'twenty',
      'five',
      'fifty',
      'point',
      '二十',
      '五',
      '十二',
      '.5',
    ],
    ...['a hundred', 'and', ',', '零', '百', '1', '0', '-', '²'],
  ];
  const units = ['yuan', 'yen', 'dollars', '元', '块', '毛', '$', '¥', 'cents', 'RMB'];
  const names = PAYEES.flatMap(({ names }) => names.map(([, text]) => text));
  const words = ['pay', 'send', 'to', 'um', 'please', 'no', '付', '支付', '给', '向', '请', '那个'];

  test('an utterance of random pieces pays only what stands in it', () => {
    let payments = 0;
    const piece = fc.constantFrom(...numbers, ...units, ...names, ...words);
    const few = (max: number, ...from: string[]): fc.Arbitrary<string> =>
      fc.array(fc.constantFrom(...from), { maxLength: max }).map((pieces) => pieces.join(' '));
    const stray = (...from: string[]): fc.Arbitrary<string> =>
      fc.oneof({ arbitrary: fc.constant(''), weight: 4 }, fc.constantFrom(...from));
    // Sentences with a stray piece in them, beside soup: soup alone would hardly ever pay.
    const sentence = fc
      .tuple(
        stray(...words, ...numbers),
        fc.constantFrom('pay', '付'),
        stray('um', 'please', '请', ',', ...names),
        few(2, ...numbers),
        fc.constantFrom('yuan', '元', 'dollars', '块', 'yen'),
        stray(...numbers, ...units, 'to', ','),
        fc.constantFrom('to', '给', ''),
        fc.constantFrom(...names, ''),
        stray('please', 'x', '.', ...numbers),
      )
      .map((parts) => parts.filter(Boolean).join(' '));
    const utterance = fc.oneof(
      fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(' ')),
      fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join('')),
      { arbitrary: sentence, weight: 6 },
      fc.string({ unit: 'grapheme' }),
    );
    fc.assert(
      fc.property(utterance, (text) => {
        const reading = readUtterance(text, { directory, language: 'en' });
        if (reading.kind !== 'pay') return;
        payments++;
        // The whole name stands in the text, and all the rest but small words is the amount.
        const rests = reading.payee.names
          .filter(([, name]) => text.includes(name))
          .flatMap(([, name]) => [
            text.replace(name, ' '),
            text.replace(new RegExp(`(.*)${name}`), '$1 '),
          ])
          .map((rest) => rest.replace(/\b(?:pay|send|to|um|please)\b|支付|付|给|向|请|那个/g, ' '))
          .map((rest) => rest.replace(/^[ ,]+|[ ,.]+$/g, ''));
        const sums = rests.flatMap((rest) => [parseMoney(rest, 'en'), parseMoney(rest, 'zh')]);
        expect(sums).toContainEqual(reading.amount);
      }),
      { numRuns: 6000, seed: 7 },
    );
    expect(payments).toBeGreaterThan(20);
  });

  test('a sentence with one character changed never pays another known payee or amount', () => {
    const sentences = [
      'pay 12.50 yuan to Luckin Coffee',
      'pay luckin coffee twenty five yuan',
      '付二十五元给瑞幸咖啡',
      '给瑞幸咖啡付12.5元',
    ];
    const change = fc.constantFrom(...'xtyo .,-\u200b\u202e元零不', 'no', '付');
    fc.assert(
      fc.property(fc.constantFrom(...sentences), fc.nat(30), change, (sentence, at, char) => {
        const meant = read(sentence, 'en');
        for (const changed of [
          sentence.slice(0, at) + char + sentence.slice(at),
          sentence.slice(0, at) + char + sentence.slice(at + 1),
        ]) {
          const reading = read(changed, 'en');
          const numberTouched = /[0-9.二十五]/.test(sentence.slice(Math.max(0, at - 1), at + 1));
          if (reading.startsWith('pay ') && !numberTouched) expect(reading).toBe(meant);
          if (reading.startsWith('pay ')) expect(reading).toMatch(/^pay luckin /);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

/** A reading as one short line. */
function read(text: string, language: 'en' | 'zh'): string {
  const reading = readUtterance(text, { directory, language });
  const { kind } = reading;
  if (kind === 'miss') return [reading.why, reading.heard].filter(Boolean).join(' ');
  if (kind === 'ask_amount') return `${kind} ${reading.payee.id}`;
  if (!('amount' in reading)) return kind;
  const amount = `${reading.amount.minor} ${reading.amount.currency}`;
  if (kind === 'pay') return `${kind} ${reading.payee.id} ${amount}`;
  if (kind === 'ask_payee') {
    return `${kind} ${reading.candidates.map(({ id }) => id).join('+')} ${amount}`;
  }
  return `${kind} ${amount}`;
}

function payee(id: string, en: string, zh: string): Payee {
  return {
    id,
    names: [
      ['en', en],
      ['zh', zh],
    ],
  };
}
