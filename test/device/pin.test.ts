// Method: the PIN on a disk of memory that can refuse, be cut off in the middle, or be damaged.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PIN_TRIES } from '../../src/limits.ts';
import { random } from '../../src/node/platform.ts';
import { PIN_FILE, PinFault, type PinState, createPin, pinFault } from '../../device/pin.ts';
import { createDisk, reasonOf } from './stage.ts';

const RIGHT = '470815';
const WRONG = '470816';

function createSafe() {
  const disk = createDisk();
  const pin = createPin(disk, random, PIN_FILE);
  pin.set(RIGHT);
  return { disk, pin };
}

/** The state that a refusal names. */
function faultOf(run: () => unknown): PinState | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof PinFault) return error.state;
    throw error;
  }
  return undefined;
}

test('the right digits, wrong ones, and all tries back after the right ones', () => {
  const { pin } = createSafe();
  expect(pin.check(RIGHT)).toBe('right');
  expect([pin.check(WRONG), pin.check(''), pin.check(`${RIGHT}0`)]).toEqual([4, 3, 2]);
  expect(pin.check(RIGHT)).toBe('right');
  expect(pin.check(WRONG)).toBe(PIN_TRIES - 1);
});

test('after the last try nothing opens it, the right digits neither, until it is set anew', () => {
  const { disk, pin } = createSafe();
  for (let left = PIN_TRIES - 1; left >= 0; left--) expect(pin.check(WRONG)).toBe(left);
  expect(pin.state()).toBe('locked');
  expect(faultOf(() => pin.check(RIGHT))).toBe('locked');
  const restarted = createPin(disk, random, PIN_FILE);
  expect(
    faultOf(() => restarted.check(RIGHT)),
    'a restart gives no try',
  ).toBe('locked');
  createPin(disk, random, PIN_FILE).set('246813');
  expect([pin.state(), pin.check('246813')]).toEqual(['ready', 'right']);
});

test('a try is on the disk before anything is compared, so that a power cut gives none', () => {
  const { disk, pin } = createSafe();
  let writes = 0;
  const cut = createPin(
    {
      ...disk,
      replace(...all) {
        disk.replace(...all);
        writes++;
        throw new Error('power cut');
      },
    },
    random,
    PIN_FILE,
  );
  for (let n = 0; n < PIN_TRIES; n++) expect(reasonOf(() => cut.check(RIGHT))).toBe('unavailable');
  expect([writes, pin.state()]).toEqual([PIN_TRIES, 'locked']);
});

test('a disk that takes no count compares nothing', () => {
  const { disk, pin } = createSafe();
  disk.fail(true);
  expect(reasonOf(() => pin.check(RIGHT))).toBe('unavailable');
  disk.fail(false);
  expect(pin.check(WRONG), 'and costs no try').toBe(PIN_TRIES - 1);
});

test('what the owner sets while a try is compared stays', () => {
  const { disk } = createSafe();
  const other = createPin(disk, random, PIN_FILE);
  let isSet = false;
  const pin = createPin(
    {
      ...disk,
      replace(...all) {
        disk.replace(...all);
        if (!isSet) {
          isSet = true;
          other.set('246813');
        }
      },
    },
    random,
    PIN_FILE,
  );
  expect(pin.check(RIGHT)).toBe('right');
  expect(other.check('246813')).toBe('right');
});

test('any damaged byte is damage, never another PIN and never none', () => {
  const { disk, pin } = createSafe();
  const whole = disk.kept.get(PIN_FILE)!;
  const byte = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: whole.length - 2 }), byte, (at, value) => {
      const bytes = Uint8Array.from(whole);
      bytes[at] = value;
      disk.kept.set(PIN_FILE, bytes);
      const isSame = value === whole[at];
      expect(pin.state()).toBe(isSame ? 'ready' : 'damaged');
      if (!isSame) expect(faultOf(() => pin.check(RIGHT))).toBe('damaged');
    }),
    { examples: [[0, 0]] },
  );
  disk.kept.set(PIN_FILE, new Uint8Array());
  expect(pin.state()).toBe('damaged');
  pin.clear();
  expect([pin.state(), faultOf(() => pin.check(RIGHT))]).toEqual(['none', 'none']);
});

test('a file that others can read is no PIN of ours', () => {
  const { disk } = createSafe();
  const open = { ...disk, access: () => ({ mode: 0o644, own: true }) };
  expect(createPin(open, random, PIN_FILE).state()).toBe('damaged');
});

test('the file holds no digits, and the same PIN looks different each time', () => {
  const { disk, pin } = createSafe();
  const text = () => new TextDecoder().decode(disk.kept.get(PIN_FILE));
  const first = text();
  pin.set(RIGHT);
  expect(first).not.toContain(RIGHT);
  expect(text()).not.toBe(first);
});

test.each([
  ['1357', undefined],
  ['470815', undefined],
  ['135724680135', undefined],
  ['135', 'a PIN has 4 to 12 digits'],
  ['1357246801357', 'a PIN has 4 to 12 digits'],
  ['', 'a PIN has digits only'],
  ['12a4', 'a PIN has digits only'],
  ['١٢٣٥', 'a PIN has digits only'],
  ...['0000', '777777', '1234', '4321', '34567', '9876', '7890'].map(
    (digits) => [digits, 'that PIN is among the first that anybody tries: choose another'] as const,
  ),
] as const)('as a new PIN %s: %s', (digits, fault) => {
  expect(pinFault(digits)).toBe(fault);
});
