/** The tick's nonce: how long it is accepted, and what makes it stale at once. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createNonces } from '../../broker/tick.ts';
import { TICK_ACCEPT_MS, TICK_SLOT_MS } from '../../src/limits.ts';
import { NOW_MS, TICK_SECRET } from './stage.ts';

const nonces = createNonces(TICK_SECRET, 1);
const SLOT_START_MS = Math.floor(NOW_MS / TICK_SLOT_MS) * TICK_SLOT_MS;

test('a nonce is accepted for at least 120 s from whenever it was given out', () => {
  fc.assert(
    fc.property(fc.nat(TICK_SLOT_MS * 3), fc.nat(TICK_ACCEPT_MS), (offsetMs, ageMs) => {
      const givenMs = SLOT_START_MS + offsetMs;
      expect(nonces.isFresh(nonces.at(givenMs), givenMs + ageMs)).toBe(true);
    }),
  );
});

test('and refused one slot after that, to the millisecond', () => {
  const endMs = SLOT_START_MS + TICK_ACCEPT_MS + TICK_SLOT_MS;
  for (const givenMs of [SLOT_START_MS, SLOT_START_MS + TICK_SLOT_MS - 1]) {
    const nonce = nonces.at(givenMs);
    expect(nonces.isFresh(nonce, endMs - 1)).toBe(true);
    expect(nonces.isFresh(nonce, endMs)).toBe(false);
    expect(nonces.isFresh(nonce, endMs + 86_400_000)).toBe(false);
  }
});

test('a nonce of a slot to come is not accepted yet', () => {
  expect(nonces.isFresh(nonces.at(NOW_MS + TICK_SLOT_MS), NOW_MS)).toBe(false);
});

test('8 bytes that change with every slot, and are the same for every bridge of the ledger', () => {
  const first = nonces.at(SLOT_START_MS);
  expect(first).toHaveLength(8);
  expect(nonces.at(SLOT_START_MS + TICK_SLOT_MS - 1)).toEqual(first);
  expect(nonces.at(SLOT_START_MS + TICK_SLOT_MS)).not.toEqual(first);
  expect(createNonces(TICK_SECRET, 1).at(SLOT_START_MS)).toEqual(first);
});

test('another generation or another secret makes every nonce stale', () => {
  const nonce = nonces.at(NOW_MS);
  expect(createNonces(TICK_SECRET, 2).isFresh(nonce, NOW_MS)).toBe(false);
  expect(createNonces(new Uint8Array(32).fill(4), 1).isFresh(nonce, NOW_MS)).toBe(false);
});

test('bytes of another length are not fresh, nor are guesses', () => {
  const nonce = nonces.at(NOW_MS);
  expect(nonces.isFresh(nonce.subarray(0, 7), NOW_MS)).toBe(false);
  expect(nonces.isFresh(new Uint8Array(0), NOW_MS)).toBe(false);
  expect(nonces.isFresh(new Uint8Array(8), NOW_MS)).toBe(false);
});
