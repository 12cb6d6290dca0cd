// Method: receipts are handed over by hand; asked is who hears what, and when nobody does.
import { expect, test } from 'vitest';
import type { Receipt } from '../../src/objects/receipt.ts';
import { createAnswers } from '../../device/answers.ts';
import { START_S, settle } from './stage.ts';

const ID = 'ab'.repeat(16);
const pending: Receipt = { iat: START_S, subject: ID, outcome: 'pending', reason: 302 };
const captured: Receipt = { iat: START_S, subject: ID, outcome: 'captured' };

test('the first word and the last, also when they come in one turn', async () => {
  const answers = createAnswers();
  const { first, last } = answers.to(ID);
  expect(answers.hear(ID, pending)).toBe(true);
  expect(answers.hear(ID, captured)).toBe(true);
  expect([await first, await last]).toEqual([pending, captured]);
});

test('a final receipt at once is both', async () => {
  const answers = createAnswers();
  const { first, last } = answers.to(ID);
  answers.hear(ID, captured);
  expect([await first, await last]).toEqual([captured, captured]);
});

test('pending is never the last word', async () => {
  const answers = createAnswers();
  let isOver = false;
  void answers.to(ID).last.then(() => (isOver = true));
  answers.hear(ID, pending);
  answers.hear(ID, pending);
  await settle();
  expect(isOver).toBe(false);
});

test('nobody listens to what was never sent, nor after the last word', () => {
  const answers = createAnswers();
  answers.to(ID);
  expect(answers.hear('cd'.repeat(16), captured)).toBe(false);
  expect(answers.hear(ID, captured)).toBe(true);
  expect(answers.hear(ID, captured)).toBe(false);
});
