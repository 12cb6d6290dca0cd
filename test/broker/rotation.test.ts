// A rotation from its first step to its last, on real files under a clock that the test moves, with
// a device that holds the statements as it would: it must believe the bridge at every moment.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { chooseBridgeKey, openBridgeKeys, rotate } from '../../broker/rotation.ts';
import { createTrust } from '../../device/trust.ts';
import type { Realm } from '../../src/cose.ts';
import { EXITS } from '../../src/errors.ts';
import { readVerifyKey } from '../../src/keyfile.ts';
import { thumbprint } from '../../src/keys.ts';
import { toHex } from '../../src/bytes.ts';
import { BRIDGE_OVERLAP_S, RESEND_FOR_MS } from '../../src/limits.ts';
import { files } from '../../src/node/platform.ts';
import { type KeyStatement, type Role, keyStatement } from '../../src/objects/key.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import {
  readPolicy,
  signPolicy,
  signStatement,
  statementOf,
  statementsAmong,
  validityOf,
} from '../../src/root.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../src/signer.ts';
import { reasonOf } from '../device/stage.ts';

const makeSigner = () => nodeSigner(readPrivatePem(generatePem('ES256')));
const root = makeSigner();
const REALM: Realm = { environment: 'sim', ledger: 'demo' };
const START_S = Date.UTC(2026, 10, 20, 9) / 1000;
const DAY_S = 86_400;

describe('the key to sign with', () => {
  const [a, b] = [makeSigner(), makeSigner()];
  const keys = { a: { name: a.key.name, is: 'a' }, b: { name: b.key.name, is: 'b' } };
  const named = (which: 'a' | 'b', nbf: number, exp: number, role: Role = 'bridge') =>
    ({ key: (which === 'a' ? a : b).key.public, role, nbf, exp, presenceMax: 0 }) as KeyStatement;

  test.each([
    ['nobody has named any', [], undefined],
    ['the only one', [named('a', 0, 100)], 'a'],
    ['the one that the root has named', [named('b', 0, 100)], 'b'],
    ['two: the one that began last', [named('a', 0, 100), named('b', 40, 100)], 'b'],
    ['whatever their order', [named('b', 40, 100), named('a', 0, 100)], 'b'],
    ['the next one has not begun', [named('a', 0, 100), named('b', 51, 100)], 'a'],
    ['it begins in this second', [named('a', 0, 100), named('b', 50, 100)], 'b'],
    ['the old one ends in this second', [named('a', 0, 50)], undefined],
    ['the old one ends in the next', [named('a', 0, 51)], 'a'],
    ['the next one has ended', [named('a', 0, 100), named('b', 40, 50)], 'a'],
    ['begun together: the one that ends last', [named('a', 9, 60), named('b', 9, 61)], 'b'],
    ['the same times: the first', [named('b', 9, 60), named('a', 9, 60)], 'a'],
    ['a renewal that keeps its begin', [named('a', 0, 900), named('b', 40, 100)], 'b'],
    ['one key, an ended statement and a new one', [named('a', 0, 9), named('a', 10, 99)], 'a'],
    ['another role is not asked', [named('a', 0, 100), named('b', 40, 100, 'wallet')], 'a'],
  ] as const)('%s: %s', (_why, statements, which) => {
    expect(chooseBridgeKey([keys.a, keys.b], statements, 50)?.is).toBe(which);
  });

  test('is always one that a statement names which is valid now, and none began later', () => {
    const span = fc.record({
      which: fc.constantFrom('a', 'b'),
      nbf: fc.nat(99),
      length: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(span, { maxLength: 6 }), fc.nat(150), (spans, nowS) => {
        const statements = spans.map(({ which, nbf, length }) => named(which, nbf, nbf + length));
        const valid = statements.filter(({ nbf, exp }) => nbf <= nowS && nowS < exp);
        const chosen = chooseBridgeKey([keys.a, keys.b], statements, nowS);
        if (valid.length === 0) {
          expect(chosen).toBeUndefined();
          return;
        }
        const own = valid.filter(({ key }) => toHex(thumbprint(key)) === chosen?.name);
        expect(Math.max(...own.map(({ nbf }) => nbf))).toBe(
          Math.max(...valid.map(({ nbf }) => nbf)),
        );
      }),
    );
  });
});

describe('a rotation', () => {
  let home = '';
  let nowS = START_S;
  const at = (...names: string[]) => join(home, ...names);
  const clock = { nowMs: () => nowS * 1000, monotonicMs: () => 0 };
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'saytap-rotation-'));
    files.folder(at('bridge'));
    files.folder(at('statements'));
    nowS = START_S;
  });
  afterEach(() => rmSync(home, { recursive: true }));

  function step(): readonly string[] {
    const lines: string[] = [];
    const place = { folder: at('bridge'), statements: at('statements'), realm: REALM };
    rotate({ files, clock }, { ...place, root: root.key }, (line) => lines.push(line));
    return lines;
  }

  const envelopes = () =>
    files.list(at('statements')).map((name) => files.read(at('statements', name))!);
  const known = () => statementsAmong(envelopes(), REALM, root.key);

  /** As `saytap root sign key --role bridge` does. */
  async function sign(publicFile: string, name: string, span = {}, isUrgent = false) {
    const { public: key } = readVerifyKey(files, at('bridge', publicFile));
    const about = { key, role: 'bridge' } as const;
    const validity = validityOf(about, span, nowS, known(), isUrgent);
    const envelope = await signStatement(statementOf({ ...about, ...validity }), REALM, root);
    files.replace(at('statements', name), envelope, 0o644);
    return validity;
  }

  /** The key that a bridge started now signs with. */
  const inUse = () => chooseBridgeKey(openBridgeKeys(files, at('bridge')), known(), nowS);
  const fileInUse = () => inUse()?.path.split('/').at(-1);

  /** Whether a device that was given `given` believes what that bridge signs now. */
  async function isBelieved(given: readonly Uint8Array[]): Promise<string> {
    const yaml = 'version: 1\nscope: platform\nladders:\n  - currency: CNY\n    bands:\n';
    const text = `${yaml}      - { upTo: "1", presence: 1 }\n`;
    const policy = await signPolicy(readPolicy(text, 'p', START_S), REALM, root, undefined);
    const trust = createTrust(REALM, root.key, given, [policy], () => nowS * 1000);
    const value = { iat: nowS, subject: 'ab'.repeat(16), outcome: 'granted' } as const;
    const envelope = await seal(receiptKind, value, REALM, inUse()!.signer);
    return reasonOf(() => trust.openFromBridge(receiptKind, envelope));
  }

  test('goes from key to key, and no device is ever left behind', async () => {
    const [first] = openBridgeKeys(files, at('bridge'));
    await sign('bridge.key.pem', 'bridge.key', { days: 60 });
    const onlyOld = envelopes();
    expect(fileInUse()).toBe('bridge.key.pem');

    expect(step().join('\n')).toMatch(
      /^made .*next\.key\.pem, key [0-9a-f]{16}; the bridge does not use it yet\n[^]*--role bridge/,
    );
    expect(statSync(at('bridge', 'next.key.pem')).mode & 0o777).toBe(0o600);
    expect(openBridgeKeys(files, at('bridge'))).toHaveLength(2);
    expect(fileInUse(), 'not signed yet').toBe('bridge.key.pem');
    expect(step()[0], 'again: the same key still waits').toMatch(/waits for its statement/);
    const next = readVerifyKey(files, at('bridge', 'next.key.pem'));

    nowS += 3 * DAY_S;
    const { nbf } = await sign('next.key.pem.pub', 'bridge-next.key');
    expect(nbf).toBe(nowS + BRIDGE_OVERLAP_S);
    const both = envelopes();
    expect(step().join('\n')).toContain('give the next key’s'.replace('’', "'"));

    for (const [seconds, file] of [
      [0, 'bridge.key.pem'],
      [BRIDGE_OVERLAP_S - 1, 'bridge.key.pem'],
      [BRIDGE_OVERLAP_S, 'next.key.pem'],
      [50 * DAY_S, 'next.key.pem'],
    ] as const) {
      nowS = START_S + 3 * DAY_S + seconds;
      expect(fileInUse(), `after ${seconds} s`).toBe(file);
      expect(await isBelieved(both), `after ${seconds} s`).toBe('accepted');
      const isOld = file === 'bridge.key.pem';
      expect(await isBelieved(onlyOld), 'a device that was not told').toBe(
        isOld ? 'accepted' : 'bad_signature',
      );
    }
    expect(step().join('\n')).toMatch(/a bridge started now signs with the next key$/);

    nowS = START_S + 61 * DAY_S;
    expect(fileInUse()).toBe('next.key.pem');
    expect(step()).toEqual([expect.stringMatching(/this rotation is over$/)]);
    expect(openBridgeKeys(files, at('bridge')).map(({ name }) => name)).toEqual([next.name]);
    expect(next.name).not.toBe(first!.name);
    expect(fileInUse()).toBe('bridge.key.pem');
    expect(await isBelieved(both)).toBe('accepted');

    expect(step()[0], 'and the next rotation begins').toMatch(/^made /);
    const again = openBridgeKeys(files, at('bridge'));
    expect(again.map(({ name }) => name)).toEqual([
      next.name,
      expect.not.stringMatching(next.name),
    ]);
    expect(fileInUse()).toBe('bridge.key.pem');
  });

  test('renewing the old key during the overlap takes nothing back', async () => {
    openBridgeKeys(files, at('bridge'));
    await sign('bridge.key.pem', 'bridge.key', { days: 10 });
    step();
    await sign('next.key.pem.pub', 'bridge-next.key');
    nowS += BRIDGE_OVERLAP_S + DAY_S;
    const needed = new Date(START_S * 1000 + BRIDGE_OVERLAP_S * 1000 + RESEND_FOR_MS);
    expect(step().at(-1)).toContain(
      `renewed until ${needed.toISOString().slice(0, 10)} ${needed.toISOString().slice(11, 19)}`,
    );
    expect(fileInUse()).toBe('next.key.pem');
    await sign('bridge.key.pem', 'bridge.key', { until: needed.getTime() / 1000 });
    expect(fileInUse()).toBe('next.key.pem');
    expect(step().join('\n')).not.toContain('renewed until');
  });

  test('a stolen key: the next one signs at once', async () => {
    openBridgeKeys(files, at('bridge'));
    await sign('bridge.key.pem', 'bridge.key');
    step();
    await sign('next.key.pem.pub', 'bridge-next.key', {}, true);
    expect(fileInUse()).toBe('next.key.pem');
    expect(await isBelieved(envelopes())).toBe('accepted');
  });

  test('an old statement that ends before the next begins is a gap, and called one', async () => {
    openBridgeKeys(files, at('bridge'));
    await sign('bridge.key.pem', 'bridge.key', { until: nowS + 3_600 });
    step();
    await sign('next.key.pem.pub', 'bridge-next.key');
    expect(step().at(-1)).toMatch(/^GAP: between .* the bridge has no key/);
    nowS += 3_600;
    expect(fileInUse()).toBeUndefined();
    expect(step()[0]).toContain('no statement holds for it');
  });

  test('a statement of another root or ledger names nothing', async () => {
    openBridgeKeys(files, at('bridge'));
    await sign('bridge.key.pem', 'bridge.key');
    step();
    const { public: key } = readVerifyKey(files, at('bridge', 'next.key.pem.pub'));
    const value = statementOf({ key, role: 'bridge', nbf: nowS, exp: nowS + DAY_S });
    const foreign = await signStatement(value, { ...REALM, ledger: 'other' }, root);
    files.replace(at('statements', 'foreign.key'), foreign, 0o644);
    expect(() => open(keyStatement, foreign, REALM, () => root.key)).toThrow();
    expect(step()[0]).toMatch(/waits for its statement/);
    expect(fileInUse()).toBe('bridge.key.pem');
  });

  test('without a key there is nothing to rotate', () => {
    expect(step).toThrow(
      expect.objectContaining({
        exit: EXITS.key,
        message: `${at('bridge', 'bridge.key.pem')} does not exist: make it with saytap keygen`,
      }),
    );
    expect(files.list(at('bridge'))).toEqual([]);
  });
});
