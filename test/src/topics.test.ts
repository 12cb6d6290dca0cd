// Method: every topic of topics.json both ways, and every topic that is none.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KINDS, type KindName } from '../../src/objects/kinds.ts';
import {
  UNSIGNED,
  UP_FILTER,
  downFilter,
  downTopic,
  isName,
  parseTopic,
  tickTopic,
  upTopic,
} from '../../src/topics.ts';

type Row = Readonly<{
  topic: string;
  device: string;
  way: 'up' | 'down';
  tail: KindName | typeof UNSIGNED;
}>;
const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/topics.json'), 'utf8'),
) as Readonly<{
  tick: Readonly<{ ledger: string; topic: string }>;
  topics: readonly Row[];
  refused: readonly Readonly<{ topic: string; why: string }>[];
}>;

test('every topic says its device, way and tail, and is made of them', () => {
  expect(vectors.topics.length).toBe(2 * Object.keys(KINDS).length + 2);
  for (const { topic, device, way, tail } of vectors.topics) {
    expect.soft(parseTopic(topic)).toEqual({ device, way, tail });
    const made = way === 'down' ? downTopic(device, tail) : upTopic(device, tail as KindName);
    expect.soft(made).toBe(topic);
  }
  expect(tickTopic(vectors.tick.ledger)).toBe(vectors.tick.topic);
});

test.each(vectors.refused)('no topic of ours: $why', ({ topic }) => {
  expect(parseTopic(topic)).toBeUndefined();
});

test('the filters match up and down topics of all devices and of one', () => {
  const isMatch = (filter: string, topic: string) =>
    new RegExp(`^${filter.replaceAll('+', '[^/]+')}$`).test(topic);
  expect(isMatch(UP_FILTER, upTopic('glasses-1', 'request'))).toBe(true);
  expect(isMatch(UP_FILTER, downTopic('glasses-1', 'receipt'))).toBe(false);
  expect(isMatch(downFilter('glasses-1'), downTopic('glasses-1', UNSIGNED))).toBe(true);
  expect(isMatch(downFilter('glasses-1'), downTopic('glasses-2', 'receipt'))).toBe(false);
});

test('a name is one level without wildcard', () => {
  for (const name of ['a', 'A-b_9', 'n'.repeat(64)]) expect.soft(isName(name), name).toBe(true);
  for (const name of ['', '+', '#', 'a/b', 'a\n', 'a b', 'ä', 'n'.repeat(65), '$SYS']) {
    expect.soft(isName(name), name).toBe(false);
  }
});
