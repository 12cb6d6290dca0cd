// Method: every sentence of both tables, read for what it may and may not claim.
import { expect, test } from 'vitest';
import { REASONS, type Reason, reasonClass } from '../../src/errors.ts';
import { clerkPhrases, phrases, reasonPhrase } from '../../device/phrases.ts';

const reasons = Object.keys(REASONS) as Reason[];

test.each(reasons)('%s has a phrase of its own in each language', (reason) => {
  const [en, zh] = [reasonPhrase(reason, 'en'), reasonPhrase(reason, 'zh')];
  expect(en).toMatch(/^[A-Z][\x20-\x7e’“”]+\.$/);
  expect(zh).toMatch(/\p{sc=Han}.*。$/u);
  expect(reasonPhrase(REASONS[reason], 'en'), 'by its number').toBe(en);
});

test.each(reasons.filter((reason) => reasonClass(REASONS[reason]) === 'pending'))(
  '%s is pending, so it says not to pay again',
  (reason) => {
    expect(reasonPhrase(reason, 'en')).toContain('Do not pay again');
    expect(reasonPhrase(reason, 'zh')).toContain('请勿重复付款');
  },
);

test('what is still open never claims that nothing was charged, and says not to pay again', () => {
  const open = [
    [phrases.unconfirmed(302, 'en'), phrases.unconfirmed(302, 'zh')],
    [phrases.cancelling('5 yuan', 'X', 'en'), phrases.cancelling('5元', 'X', 'zh')],
    [phrases.cancelFailed('en'), phrases.cancelFailed('zh')],
  ] as const;
  for (const [en, zh] of open) {
    expect(en).toContain('Do not pay again');
    expect(en).not.toMatch(/nothing|not charged/i);
    expect(zh).toContain('请勿重复付款');
    expect(zh).not.toContain('未扣款');
  }
  expect(clerkPhrases.unconfirmed('en')).toContain('Do not do it again');
  expect(clerkPhrases.unconfirmed('zh')).toContain('请勿重复操作');
});

test('"not confirmed yet" tells the word that calls it off', () => {
  expect(phrases.unconfirmed(301, 'en')).toContain('“cancel”');
  expect(phrases.unconfirmed(301, 'zh')).toContain('“取消”');
});

test('what exceeds tells what to do next', () => {
  expect(reasonPhrase('refund_exceeds', 'en')).toMatch(/Refund less\.$/);
  expect(reasonPhrase('refund_exceeds', 'zh')).toContain('请减少退款金额');
  expect(reasonPhrase('capture_exceeds', 'en')).toMatch(/Capture less\.$/);
});
