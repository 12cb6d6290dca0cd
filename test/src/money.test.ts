/** Money: exact both ways, and no text with two meanings is an amount. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PaymentError } from '../../src/errors.ts';
import {
  CURRENCIES,
  exponentOf,
  formatDecimal,
  formatMoney,
  MINOR_MAX,
  parseDecimal,
  parseMoney,
  readMoney,
} from '../../src/money.ts';

const anyMoney = fc.record({
  currency: fc.constantFrom(...CURRENCIES),
  minor: fc.oneof(fc.bigInt(1n, 100_000n), fc.bigInt(1n, MINOR_MAX), fc.constant(MINOR_MAX)),
});

test('exponents are those of ISO 4217', () => {
  expect(CURRENCIES).toHaveLength(157);
  const of = (exponent: number): string =>
    CURRENCIES.filter((code) => exponentOf(code) === exponent).join(' ');
  expect(of(0)).toBe('BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF');
  expect(of(3)).toBe('BHD IQD JOD KWD LYD OMR TND');
  expect(of(4)).toBe('CLF UYW');
  expect(['CNY', 'USD', 'HUF'].map(exponentOf)).toEqual([2, 2, 2]);
  for (const code of ['XXX', 'XTS', 'XAU', 'XDR', 'cny', 'toString', '']) {
    expect(exponentOf(code)).toBeUndefined();
  }
});

test('every currency and amount comes back from the text people see, in both languages', () => {
  for (const currency of CURRENCIES) {
    for (const language of ['en', 'zh'] as const) {
      for (const minor of [1n, 10n, 99n, 100n, 1250n, 10_000n, MINOR_MAX]) {
        const money = { currency, minor };
        expect(parseMoney(formatMoney(money, language), language)).toEqual(money);
      }
    }
  }
  fc.assert(
    fc.property(anyMoney, fc.constantFrom('en' as const, 'zh' as const), (money, language) => {
      expect(parseMoney(formatMoney(money, language), language)).toEqual(money);
    }),
  );
});

test('every amount comes back from its decimal text', () => {
  fc.assert(
    fc.property(anyMoney, (money) => {
      expect(parseDecimal(formatDecimal(money), money.currency)).toBe(money.minor);
    }),
  );
  expect(parseDecimal('0', 'CNY')).toBe(0n);
  expect(parseDecimal('12.5', 'CNY')).toBe(1250n);
  expect(formatDecimal({ currency: 'CNY', minor: 5n })).toBe('0.05');
});

test.each([
  ['12.505', 'CNY', 'a third decimal'],
  ['1.0', 'JPY', 'a yen has no parts'],
  ['-1', 'CNY', 'sign'],
  ['+1', 'CNY', 'sign'],
  ['1e3', 'CNY', 'exponent'],
  ['1,000', 'CNY', 'grouping'],
  ['1_000', 'CNY', 'grouping'],
  ['１２', 'CNY', 'full-width digits'],
  ['١٢', 'CNY', 'Arabic digits'],
  ['012', 'CNY', 'leading zero'],
  ['12.', 'CNY', 'no decimals after the point'],
  ['.5', 'CNY', 'nothing before the point'],
  [' 5', 'CNY', 'space'],
  ['5\n', 'CNY', 'line end'],
  ['', 'CNY', 'nothing'],
  ['0x10', 'CNY', 'hexadecimal'],
  ['90071992547409.92', 'CNY', 'one beyond 2^53 − 1'],
])('parseDecimal refuses %j %s: %s', (text, currency) => {
  expect(reasonOf(() => parseDecimal(text, currency))).toBe('malformed');
});

test('an unknown currency is refused by name', () => {
  expect(parseDecimal('90071992547409.91', 'CNY')).toBe(MINOR_MAX);
  expect(reasonOf(() => parseDecimal('1', 'XXX'))).toBe('currency_unknown');
  expect(reasonOf(() => formatMoney({ currency: 'XXX', minor: 1n }, 'en'))).toBe(
    'currency_unknown',
  );
});

test('people see which currency it is', () => {
  expect(formatMoney({ currency: 'CNY', minor: 1250n }, 'en')).toBe('12.50 yuan');
  expect(formatMoney({ currency: 'JPY', minor: 100n }, 'en')).toBe('100 yen');
  expect(formatMoney({ currency: 'USD', minor: 300n }, 'en')).toBe('3.00 US dollars');
  expect(formatMoney({ currency: 'CNY', minor: 1250n }, 'zh')).toBe('12.50元');
  expect(formatMoney({ currency: 'JPY', minor: 100n }, 'zh')).toBe('100日元');
  expect(formatMoney({ currency: 'USD', minor: 300n }, 'zh')).toBe('3.00美元');
  expect(formatMoney({ currency: 'KWD', minor: 12_500n }, 'zh')).toBe('12.500 KWD');
  expect(formatMoney({ currency: 'CNY', minor: 0n }, 'zh')).toBe('0.00元');
});

test.each([
  ['12.50 yuan', 'CNY', 1250n, 'digits and word'],
  ['12.5 yuan', 'CNY', 1250n, 'one decimal'],
  ['CNY 12.50', 'CNY', 1250n, 'code first'],
  ['12.500 KWD', 'KWD', 12_500n, 'three decimals'],
  ['20 RMB', 'CNY', 2000n, 'RMB'],
  ['CN¥12.50', 'CNY', 1250n, 'a sign that names its country'],
  ['$3', 'USD', 300n, 'the dollar without a country'],
  ['HK$3', 'HKD', 300n, 'another dollar'],
  ['3 dollars', 'USD', 300n, 'word'],
  ['3 Hong Kong dollars', 'HKD', 300n, 'unit of three words'],
  ['100 yen', 'JPY', 100n, 'no minor unit'],
  ['twelve yuan fifty', 'CNY', 1250n, 'cents after the unit'],
  ['twelve fifty yuan', 'CNY', 1250n, 'two numbers of two digits'],
  ['twelve oh five yuan', 'CNY', 1205n, 'oh five'],
  ['twelve point five yuan', 'CNY', 1250n, 'point'],
  ['a hundred and five yuan', 'CNY', 10_500n, 'and belongs to the number'],
  ['Three yuan and five cents', 'CNY', 305n, 'cents'],
  ['three yuan five fen', 'CNY', 305n, 'fen'],
  ['three yuan five jiao', 'CNY', 350n, 'jiao are tenths'],
  ['fifty fen', 'CNY', 50n, 'fen names the currency'],
  ['ten dollars', 'USD', 1000n, 'words'],
  ['３　dollars', 'USD', 300n, 'full-width'],
])('English %j is %s %s: %s', (text, currency, minor) => {
  expect(parseMoney(text, 'en')).toEqual({ currency, minor });
});

test.each([
  ['12.5元', 'CNY', 1250n, 'digits'],
  ['12.5 元', 'CNY', 1250n, 'space'],
  ['20块', 'CNY', 2000n, 'spoken unit'],
  ['20 RMB', 'CNY', 2000n, 'RMB'],
  ['人民币二十元整', 'CNY', 2000n, 'as on a cheque'],
  ['二十元', 'CNY', 2000n, 'numerals'],
  ['二十 块 钱', 'CNY', 2000n, 'spaces of a recogniser'],
  ['十二块五', 'CNY', 1250n, 'tenths without 毛'],
  ['十二块零五', 'CNY', 1205n, 'hundredths after 零'],
  ['12块50', 'CNY', 1250n, 'digits after the unit'],
  ['十块五毛', 'CNY', 1050n, '毛'],
  ['十块五毛五', 'CNY', 1055n, '毛 and 分'],
  ['两块五', 'CNY', 250n, '两'],
  ['兩塊五', 'CNY', 250n, 'traditional'],
  ['三百零五块', 'CNY', 30_500n, '零'],
  ['二十三元零五分', 'CNY', 2305n, '零 before 分'],
  ['一万零五百元', 'CNY', 1_050_000n, '万'],
  ['十点五元', 'CNY', 1050n, '点'],
  ['一百零五元五角', 'CNY', 10_550n, '角'],
  ['壹佰元', 'CNY', 10_000n, 'formal'],
  ['五毛', 'CNY', 50n, 'less than a yuan'],
  ['五分', 'CNY', 5n, 'fen'],
  ['三美元', 'USD', 300n, 'dollars are not yuan'],
  ['一百日元', 'JPY', 100n, 'yen are not yuan'],
  ['一万亿元', 'CNY', 10n ** 14n, 'great, and still within bounds'],
  ['五十港币', 'HKD', 5000n, 'Hong Kong dollars'],
])('Chinese %j is %s %s: %s', (text, currency, minor) => {
  expect(parseMoney(text, 'zh')).toEqual({ currency, minor });
});

test.each([
  ['¥12.50', 'no_currency', 'the sign of two currencies'],
  ['￥12', 'no_currency', 'also when full-width'],
  ['12', 'no_currency', 'no unit'],
  ['twelve', 'no_currency', 'no unit'],
  ['十二', 'no_currency', 'no unit'],
  ['fifty cents', 'no_match', 'cents of what'],
  ['one fifty yuan', 'no_match', '1.50 or 150'],
  ['twelve yuan five', 'no_match', '12.05 or 12.50'],
  ['12 yuan 5', 'no_match', '12.05 or 12.50'],
  ['twelve fifty yen', 'no_match', 'a yen has no parts'],
  ['1,000 yuan', 'no_match', 'a comma is a point elsewhere'],
  ['12.505元', 'no_match', 'a third decimal'],
  ['1.5日元', 'no_match', 'a yen has no parts'],
  ['.5 yuan', 'no_match', 'nothing before the point'],
  ['-5 yuan', 'no_match', 'sign'],
  ['5²元', 'no_match', 'a superscript is not a digit'],
  ['5½元', 'no_match', 'a fraction is not a digit'],
  ['𝟓元', 'no_match', 'a mathematical digit'],
  ['1 2元', 'no_match', 'two numbers'],
  ['5 all', 'no_match', 'a code in small letters is a word'],
  ['5 XXX', 'no_match', 'no currency at all'],
  ['5 toString', 'no_match', 'no property of an object'],
  ['$5 dollars', 'no_match', 'two units'],
  ['5 yuan 6 yuan', 'no_match', 'two amounts'],
  ['五元六元', 'no_match', 'two amounts'],
  ['12.5元五角', 'no_match', 'decimals and parts'],
  ['五毛分', 'no_match', 'a part without a number'],
  ['5\u200b0 yuan', 'no_match', 'a hidden character'],
  ['pay 5 yuan', 'no_match', 'the whole text is the amount'],
  ['0 yuan', 'out_of_bounds', 'nothing to pay'],
  ['零元', 'out_of_bounds', 'nothing to pay'],
  ['90071992547409.92 yuan', 'out_of_bounds', 'one beyond 2^53 − 1'],
])('%j is no money in either language (%s): %s', (text, why) => {
  const readings = (['en', 'zh'] as const).map((language) => readMoney(text, language));
  const whys = readings.map((reading) => (reading.kind === 'miss' ? reading.why : reading.kind));
  expect(whys).toContain(why);
  expect(whys).not.toContain('money');
  if (why === 'no_match') expect(whys).toEqual(['no_match', 'no_match']);
});

test('noise neither throws nor makes money without a unit', () => {
  const piece = fc.constantFrom(
    ...['5', '12', '.', ',', ' ', 'twenty', 'fifty', 'and', 'point', 'oh', '二', '十', '百', '零'],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.string(), (pieces, any) => {
      for (const language of ['en', 'zh'] as const) {
        expect(parseMoney(pieces.join(''), language)).toBeUndefined();
        expect(parseMoney(pieces.join(' '), language)).toBeUndefined();
        readMoney(any, language);
      }
    }),
    { numRuns: 2000 },
  );
});

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
  return 'none';
}
