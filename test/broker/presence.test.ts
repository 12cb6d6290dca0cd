// What the bridge makes of births and deaths that may come late, twice, or from two places.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Heard, hearPresence, isNewConflict } from '../../broker/presence.ts';
import { PRESENCE_BYTES_MAX, SPOKE_MAX } from '../../src/limits.ts';
import { type Birth, type Death, encodePresence, parsePresence } from '../../src/presence.ts';
import { utf8 } from '../../src/bytes.ts';

const KEY = 'ab'.repeat(32);
const place = (start: string) => ({ host: 'pi-cafe', boot: '0b0b0b0b', start });
const birth = (session: number, start = 'a', open = 0): Birth => ({
  session,
  online: true,
  place: place(start),
  versions: { saytap: '0.1.0', node: '24.0.0' },
  profile: 'glasses',
  channels: ['voice'],
  surfaces: ['terminal'],
  offline: 'require_online',
  keys: 'file',
  presenceMax: 2,
  config: '0123456789abcdef',
  key: { kid: KEY.slice(0, 16), since: 1, until: 2 },
  queue: { open },
});
const death = (session: number, start = 'a', left = false): Death => ({
  session,
  online: false,
  place: place(start),
  left,
});

/** Hears these one after the other, a second apart; `told` are the conflicts that were news. */
function hearAll(...said: readonly (Birth | Death)[]) {
  let heard: Heard | undefined;
  const told: string[] = [];
  said.forEach((one, i) => {
    const after = hearPresence(heard, KEY, one, i * 1_000);
    if (!after) return;
    const { conflict } = after;
    if (isNewConflict(heard, after)) told.push(`${conflict!.first.start}${conflict!.second.start}`);
    heard = after;
  });
  return { heard: heard!, told };
}

describe('whether a device is there', () => {
  test.each<[string, readonly (Birth | Death)[], object]>([
    ['a birth', [birth(1)], { online: true, sinceMs: 0 }],
    ['its will', [birth(1), death(1)], { online: false, left: false, sinceMs: 1_000 }],
    ['its goodbye', [birth(1), death(1, 'a', true)], { online: false, left: true }],
    ['a will of before that comes late', [birth(1), birth(2), death(1)], { online: true }],
    ['a will of another start', [birth(1), birth(65, 'b'), death(65, 'a')], { online: true }],
    ['the same birth again', [birth(1), birth(1)], { online: true, sinceMs: 0 }],
    [
      'an old birth after the next',
      [birth(1), birth(2), birth(1)],
      { online: true, sinceMs: 1_000 },
    ],
    ['a will twice', [birth(1), death(1), death(1)], { online: false, sinceMs: 1_000 }],
    ['back again', [birth(1), death(1), birth(2)], { online: true, sinceMs: 2_000 }],
  ])('%s', (_why, said, expected) => {
    expect(hearAll(...said).heard).toMatchObject(expected);
  });

  test('a death alone is nothing', () => {
    expect(hearPresence(undefined, KEY, death(1), 0)).toBeUndefined();
  });

  test('what waits is what was said last', () => {
    expect(hearAll(birth(1), birth(1, 'a', 7)).heard.birth.queue.open).toBe(7);
  });
});

describe('two places', () => {
  test.each<[string, readonly (Birth | Death)[], readonly string[]]>([
    ['a restart', [birth(1), birth(65, 'b'), birth(129, 'c')], []],
    ['many connections of one start', [1, 2, 3, 4].map((n) => birth(n)), []],
    ['a birth of the last start that comes late', [birth(1), birth(65, 'b'), birth(1)], []],
    [
      'two that take turns, told once',
      [birth(1), birth(65, 'b'), birth(2), birth(66, 'b')],
      ['ba'],
    ],
    ['a number that goes back', [birth(129), birth(65, 'b')], ['ab']],
    ['the same number twice', [birth(65), birth(65, 'b')], ['ab']],
  ])('%s', (_why, said, told) => {
    expect(hearAll(...said).told).toEqual(told);
  });

  test('are forgotten with another key, and so are the numbers', () => {
    const before = hearAll(birth(129), birth(65, 'b')).heard;
    const after = hearPresence(before, 'cd'.repeat(32), birth(1, 'c'), 9)!;
    expect(after.conflict).toBeUndefined();
    expect(after.places.map(({ start }) => start)).toEqual(['c']);
  });

  test('whatever is said: few places, the newest last, and never two of one start', () => {
    const said = fc.record({
      session: fc.nat(20),
      start: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k'),
      isDeath: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(said, { maxLength: 60 }), (all) => {
        const { heard } = hearAll(
          birth(0, 'z'),
          ...all.map(({ session, start, isDeath }) =>
            isDeath ? death(session, start) : birth(session, start),
          ),
        );
        const starts = heard.places.map(({ start }) => start);
        expect(starts.length).toBeLessThanOrEqual(SPOKE_MAX);
        expect(new Set(starts).size).toBe(starts.length);
        expect(starts.at(-1)).toBe(heard.birth.place.start);
      }),
    );
  });
});

describe('a document from anybody', () => {
  test('comes back as it was made, within its size', () => {
    for (const value of [birth(1, 'a', 3), death(2)]) {
      const bytes = encodePresence(value);
      expect(bytes.length).toBeLessThan(PRESENCE_BYTES_MAX / 2);
      expect(parsePresence(bytes)).toEqual(value);
    }
  });

  test.each<[string, unknown]>([
    ['no JSON', undefined],
    ['an empty object', {}],
    ['null', null],
    ['a birth without a place', { ...birth(1), place: undefined }],
    ['a session below zero', { ...birth(1), session: -1 }],
    ['a session that is no number', { ...birth(1), session: '1' }],
    ['a list that is too long', { ...birth(1), channels: Array(17).fill('x') }],
    ['more bytes than are read', { ...birth(1), more: 'x'.repeat(PRESENCE_BYTES_MAX) }],
  ])('%s is none', (_why, value) => {
    expect(parsePresence(utf8(value === undefined ? '{' : JSON.stringify(value)))).toBeUndefined();
  });

  test('has texts that a terminal can show, and nothing that is not asked for', () => {
    const evil = { ...birth(1), place: { ...place('a'), host: '\u001b[31mpi\u202e\n' } };
    const long = { ...evil, profile: 'x'.repeat(500), amount: '12.50' };
    const parsed = parsePresence(utf8(JSON.stringify(long))) as Birth;
    expect(parsed.place.host).toBe('[31mpi');
    expect(parsed.profile).toHaveLength(64);
    expect(parsed).not.toHaveProperty('amount');
  });

  test('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3_000 }), (bytes) => {
        expect(parsePresence(Uint8Array.from(bytes))).toBeUndefined();
      }),
    );
  });
});
