// The root's commands on real files, with a scripted person and a fixed clock.
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/root.ts';
import { payloadOf } from '../../../src/cose.ts';
import { EXITS, OperatorError, PaymentError } from '../../../src/errors.ts';
import { createKeyFiles, readVerifyKey } from '../../../src/keyfile.ts';
import { files, random } from '../../../src/node/platform.ts';
import { keyStatement } from '../../../src/objects/key.ts';
import { open } from '../../../src/objects/kind.ts';
import { policy as policyKind } from '../../../src/objects/policy.ts';

const NOW_MS = Date.UTC(2026, 10, 20, 9);
const DAY_S = 86_400;
const REALM = { environment: 'sim', ledger: 'demo' } as const;
const PASSPHRASE = 'correct horse battery';

let home = '';
let nowMs = NOW_MS;
const at = (...names: string[]) => join(home, ...names);
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'saytap-root-'));
  nowMs = NOW_MS;
});
afterEach(() => rmSync(home, { recursive: true }));

type Ended = Readonly<{ out: string; asked: readonly string[]; failed?: string; exit?: number }>;

/** Runs `saytap root ...args`; the person answers these, then nothing. */
async function root(args: readonly string[], ...answers: readonly string[]): Promise<Ended> {
  const lines: string[] = [];
  const asked: string[] = [];
  const left = [...answers];
  const answer = async (question: string) => {
    asked.push(question);
    return left.shift() ?? '';
  };
  const context = {
    ...{ files, random, clock: { nowMs: () => nowMs, monotonicMs: () => 0 } },
    ...{ write: (line: string) => lines.push(line), ask: answer, askSecret: answer },
  } as unknown as Context;
  const said = {
    asked,
    get out() {
      return lines.join('\n');
    },
  };
  try {
    await runCommand(command, 'root', args, context);
  } catch (error) {
    if (error instanceof OperatorError) {
      return { out: said.out, asked, failed: error.message, exit: error.exit };
    }
    if (error instanceof PaymentError) {
      return { out: said.out, asked, failed: `${error.reason}: ${error.message}` };
    }
    throw error;
  }
  return { out: said.out, asked };
}

describe('root init', () => {
  test('makes an encrypted key and its public half, and tells the thumbprint', async () => {
    const { out, asked, failed } = await root(['init', '--out', at('r')], PASSPHRASE, PASSPHRASE);
    expect({ asked, failed }).toEqual({
      asked: ["Passphrase for the root's key: ", 'Again: '],
      failed: undefined,
    });
    expect(statSync(at('r', 'root.key.pem')).mode & 0o777).toBe(0o600);
    expect(statSync(at('r')).mode & 0o777).toBe(0o700);
    expect(readFileSync(at('r', 'root.key.pem'), 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    const { name } = readVerifyKey(files, at('r', 'root.pub.pem'));
    expect(out).toContain(`thumbprint ${name}`);
    expect(out).toContain('keep it offline');
    expect(out).not.toContain(PASSPHRASE);
    expect((await root(['show', at('r', 'root.pub.pem')])).out).toBe(`thumbprint ${name} (ES256)`);
  });

  test.each(['root.key.pem', 'root.pub.pem'])('never overwrites %s', async (name) => {
    files.folder(at('r'));
    writeFileSync(at('r', name), 'kept');
    const { failed, exit, asked } = await root(['init', '--out', at('r'), '--no-passphrase']);
    expect({ failed, exit, asked }).toEqual({
      failed: `${at('r', name)} exists already: a root is made once`,
      exit: EXITS.key,
      asked: [],
    });
    expect(readFileSync(at('r', name), 'utf8')).toBe('kept');
    expect(files.list(at('r'))).toEqual([name]);
  });

  test.each([
    ['two different passphrases', [PASSPHRASE, `${PASSPHRASE}!`], /two different passphrases/],
    ['fifteen characters', ['123456789012345'], /at least 16 characters/],
    ['no answer', [], /at least 16 characters/],
  ] as const)('%s: nothing is made', async (_why, answers, line) => {
    const { failed } = await root(['init', '--out', at('r')], ...answers);
    expect(failed).toMatch(line);
    expect(files.list(at('r'))).toEqual([]);
  });

  test('a passphrase from a file; one that others can read is none', async () => {
    writeFileSync(at('pass'), `${PASSPHRASE}\n`, { mode: 0o600 });
    const args = ['init', '--out', at('r'), '--passphrase-file', at('pass')];
    chmodSync(at('pass'), 0o644);
    expect((await root(args)).failed).toContain('can be read by others');
    chmodSync(at('pass'), 0o600);
    expect((await root([...args, '--no-passphrase'])).failed).toMatch(/exclude each other; see/);
    expect((await root(args)).failed).toBeUndefined();
    expect((await root(args)).failed).toMatch(/exists already/);
  });
});

describe('root sign key', () => {
  const signing = ['--root', '', '--env', 'sim', '--ledger', 'demo'];
  const key = (name: string, role: string, ...more: readonly string[]) => [
    ...['sign', 'key', ...signing.with(1, at('r', 'root.key.pem'))],
    ...['--key', at(`${name}.pem.pub`), '--out', at('statements', `${name}.key`)],
    ...['--role', role, ...more],
  ];
  const statement = (name: string) => {
    const rootKey = readVerifyKey(files, at('r', 'root.pub.pem'));
    const envelope = files.read(at('statements', `${name}.key`));
    return envelope && open(keyStatement, envelope, REALM, () => rootKey).value;
  };
  beforeEach(async () => {
    await root(['init', '--out', at('r'), '--no-passphrase']);
    createKeyFiles(files, at('a.pem'), 'ES256');
    createKeyFiles(files, at('b.pem'), 'EdDSA');
  });

  test('shows what will be stated, and signs exactly that after a typed yes', async () => {
    const till = [
      ...['--device', 'kiosk-1', '--payee', 'luckin-coffee', '--terminal', 'till-1'],
      ...['--name', 'en=Luckin Coffee', '--name', 'zh=瑞幸咖啡', '--category', '0742'],
      ...['--from', '2026-12-01', '--until', '2027-06-01T12:00Z'],
    ];
    const { out, asked, failed } = await root(key('a', 'terminal', ...till), 'yes');
    expect(failed).toBeUndefined();
    expect(asked).toEqual(['Sign this? Type yes: ']);
    const { name } = readVerifyKey(files, at('a.pem.pub'));
    for (const words of [
      'is a terminal, called kiosk-1 in topics, terminal till-1 of payee luckin-coffee',
      'category 0742',
      'valid from 2026-12-01 00:00:00 UTC until 2027-06-01 12:00:00 UTC',
      `The whole thumbprint of the key: ${name}.`,
      'Shown as "Luckin Coffee" (en), "瑞幸咖啡" (zh).',
      'For sim ledger demo and no other.',
    ]) {
      expect(out).toContain(words);
    }
    expect(statement('a')).toEqual({
      key: readVerifyKey(files, at('a.pem')).public,
      role: 'terminal',
      presenceMax: 1,
      device: 'kiosk-1',
      payee: 'luckin-coffee',
      terminal: 'till-1',
      names: [
        ['en', 'Luckin Coffee'],
        ['zh', '瑞幸咖啡'],
      ],
      category: 742,
      nbf: Date.UTC(2026, 11, 1) / 1000,
      exp: Date.UTC(2027, 5, 1, 12) / 1000,
    });
  });

  test.each(['no', 'y', ''])('%j signs nothing', async (answer) => {
    const { failed, exit } = await root(key('a', 'bridge'), answer);
    expect({ failed, exit }).toEqual({ failed: 'nothing was signed', exit: EXITS.failed });
    expect(statement('a')).toBeUndefined();
  });

  test('a person gets a number once, and it is told for the next key', async () => {
    const wallet = await root(key('a', 'wallet', '--new-payer', '--yes'));
    const payer = /^payer ([0-9a-f]{32})$/m.exec(wallet.out)![1]!;
    expect(statement('a')).toMatchObject({ role: 'wallet', presenceMax: 4 });
    const glasses = ['--device', 'glasses-1', '--payer', payer, '--presence', '1', '--yes'];
    expect((await root(key('b', 'device', ...glasses))).failed).toBeUndefined();
    expect(statement('b')).toMatchObject({ presenceMax: 1, payer: statement('a')!.payer });
  });

  test('a second bridge key begins tomorrow, or now; a renewal keeps its begin', async () => {
    const nowS = NOW_MS / 1000;
    await root(key('a', 'bridge', '--days', '30', '--yes'));
    expect(statement('a')).toMatchObject({ nbf: nowS - 60, exp: nowS + 30 * DAY_S });
    const { out } = await root(key('b', 'bridge', '--yes'));
    expect(statement('b')!.nbf).toBe(nowS + DAY_S);
    expect(out).toContain('Give it to every device before 2026-11-21 09:00:00 UTC');
    const early = await root(key('c', 'bridge', '--from', '2026-11-21', '--yes'));
    expect(early.failed, 'no such key').toMatch(/c\.pem\.pub does not exist/);

    nowMs += 2 * DAY_S * 1000;
    await root(key('a', 'bridge', '--days', '60', '--yes'));
    expect(statement('a')).toMatchObject({ nbf: nowS - 60, exp: nowS + 62 * DAY_S });

    createKeyFiles(files, at('c.pem'), 'ES256');
    const refused = await root(key('c', 'bridge', '--from', '2026-11-22', '--yes'));
    expect(refused.failed).toMatch(/^a second bridge key begins at least 24 hours from now/);
    expect((await root(key('c', 'bridge', '--now', '--yes'))).failed).toBeUndefined();
    expect(statement('c')!.nbf).toBe(nowS + DAY_S + (DAY_S - 60));
  });

  test('a second bridge key that waits begins at once with --now', async () => {
    const nowS = NOW_MS / 1000;
    await root(key('a', 'bridge', '--yes'));
    nowMs += DAY_S * 1000;
    await root(key('b', 'bridge', '--yes'));
    expect(statement('b')!.nbf).toBe(nowS + 2 * DAY_S);
    const { out, failed } = await root(key('b', 'bridge', '--now', '--yes'));
    expect(failed).toBeUndefined();
    expect(statement('b')!.nbf).toBe(nowS + DAY_S - 60);
    expect(out).not.toContain('does not begin at once');
    const later = await root(key('b', 'bridge', '--now', '--from', '2026-12-01', '--yes'));
    expect(later.out).toContain('NOTE: with --from it does not begin at once, in spite of --now.');
    const device = await root(key('a', 'device', '--device', 'g', '--now', '--yes'));
    expect(device.failed).toMatch(/^--now goes with --role bridge; see/);
  });

  test('a renewal that ends earlier says so before it asks', async () => {
    await root(key('a', 'bridge', '--days', '30', '--yes'));
    const { out, failed } = await root(key('a', 'bridge', '--days', '3'), 'no');
    expect(failed).toBe('nothing was signed');
    expect(out).toContain(
      'NOTE: the statement that is there holds until 2026-12-20 09:00:00 UTC; this one ends ' +
        'earlier.',
    );
    const longer = await root(key('a', 'bridge', '--days', '31', '--yes'));
    expect(longer.out).not.toContain('NOTE');
  });

  test.each([
    [['terminal'], /^a terminal needs --device .*, --payee .*, --terminal .*, --name /],
    [['bridge', '--payer', 'ab'.repeat(16)], /^a bridge has no --payer or --new-payer$/],
    [['wallet', '--payer', 'abc'], /^--payer is 32 hexadecimal digits; see saytap root sign key/],
    [['wallet', '--payer', 'ab'.repeat(16), '--new-payer'], /exclude each other/],
    [['device', '--device', 'g', '--presence', '5'], /^--presence is a whole number from 0 to 4/],
    [['terminal', '--name', 'Luckin'], /^--name is as en="Luckin Coffee"/],
    [['terminal', '--name', 'en= '], /^--name is as/],
    [['terminal', '--name', 'en=a', '--name', 'en=b'], /^--name gives one language twice/],
    [['terminal', '--category', '581'], /^--category is four digits/],
    [['bridge', '--days', '3', '--until', '2027-01-01'], /^--days and --until exclude/],
    [['bridge', '--from', '2026-02-30'], /^--from is a date in UTC/],
    [['bridge', '--until', 'soon'], /^--until is a date in UTC/],
    [['bridge', '--until', '2026-11-20'], /^it would end before it begins/],
    [['bridge', '--days', '0'], /^--days is a whole number from 1 to 3660/],
    [['broker'], /^--role is bridge, terminal, device, wallet or agent/],
  ] as const)('%j is refused before anything is signed', async ([role, ...more], line) => {
    const { failed, exit } = await root(key('a', role, ...more, '--yes'));
    expect(failed).toMatch(line);
    expect(exit).toBe(EXITS.usage);
    expect(files.list(at('statements')).filter((name) => name.endsWith('.key'))).toEqual([]);
  });

  test('a statement about another key is left alone; the root speaks never of itself', async () => {
    await root(key('a', 'bridge', '--yes'));
    const before = files.read(at('statements', 'a.key'));
    const taken = key('b', 'device', '--device', 'g', '--yes').map((word) =>
      word === at('statements', 'b.key') ? at('statements', 'a.key') : word,
    );
    const { failed, exit } = await root(taken);
    expect(failed).toBe(`${at('statements', 'a.key')} is about another key: choose another name`);
    expect(exit).toBe(EXITS.key);
    expect(files.read(at('statements', 'a.key'))).toEqual(before);
    const own = key('b', 'bridge', '--yes').map((word) =>
      word === at('b.pem.pub') ? at('r', 'root.pub.pem') : word,
    );
    expect((await root(own)).failed).toMatch(/^this is the root itself/);
    const elsewhere = key('a', 'bridge').map((word) =>
      word === at('statements', 'a.key') ? at('statements', 'a.txt') : word,
    );
    expect((await root(elsewhere)).failed).toMatch(/^--out must end in \.key/);
  });

  test('an encrypted root asks for its passphrase; a wrong one signs nothing', async () => {
    await root(['init', '--out', at('e')], PASSPHRASE, PASSPHRASE);
    const args = key('a', 'bridge').map((word) =>
      word === at('r', 'root.key.pem') ? at('e', 'root.key.pem') : word,
    );
    const wrong = await root(args, 'wrong', 'yes');
    expect(wrong.failed).toContain('the passphrase is wrong');
    expect(wrong.asked).toEqual([`Passphrase of ${at('e', 'root.key.pem')}: `]);
    expect(files.read(at('statements', 'a.key'))).toBeUndefined();
    const right = await root(args, PASSPHRASE, 'yes');
    expect(right.failed).toBeUndefined();
    writeFileSync(at('pass'), PASSPHRASE, { mode: 0o600 });
    const fromFile = await root([...args, '--passphrase-file', at('pass'), '--yes']);
    expect({ asked: fromFile.asked, failed: fromFile.failed }).toEqual({ asked: [] });
  });

  test('root show tells every statement, what has ended, and what does not hold', async () => {
    await root(key('a', 'bridge', '--days', '1', '--yes'));
    await root(key('b', 'bridge', '--yes'));
    const bytes = files.read(at('statements', 'a.key'))!;
    writeFileSync(at('statements', 'damaged.key'), bytes.with(-1, bytes.at(-1)! ^ 1));
    const args = ['show', at('r', 'root.pub.pem'), '--statements', at('statements')];
    expect((await root(args)).failed).toMatch(/^--statements needs --env and --ledger/);
    const lines = (await root([...args, '--env', 'sim', '--ledger', 'demo'])).out.split('\n');
    expect(lines.slice(1)).toEqual([
      expect.stringMatching(/^a\.key: Root key .* is a bridge/),
      expect.stringMatching(/^b\.key: not yet\. Root key /),
      expect.stringMatching(/^damaged\.key: does not hold: bad_signature, /),
    ]);
    nowMs += 2 * DAY_S * 1000;
    const later = (await root([...args, '--env', 'sim', '--ledger', 'demo'])).out;
    expect(later).toMatch(/^a\.key: ENDED\. Root key /m);
    expect(later).toMatch(/^b\.key: Root key /m);
  });
});

describe('root sign policy', () => {
  const text = (version: number) =>
    `version: ${version}\nscope: platform\nladders:\n  - currency: CNY\n    bands:\n` +
    '      - { upTo: "20.00", presence: 1 }\n';
  const sign = (...more: readonly string[]) => [
    ...['sign', 'policy', '--root', at('r', 'root.key.pem'), '--env', 'sim', '--ledger', 'demo'],
    ...['--from', at('policy.yaml'), '--out', at('platform.policy'), ...more],
  ];

  test('shows it in words, asks, and never goes back to a lower version', async () => {
    await root(['init', '--out', at('r'), '--no-passphrase']);
    writeFileSync(at('policy.yaml'), text(2));
    expect((await root(sign(), 'no')).failed).toBe('nothing was signed');
    expect(files.read(at('platform.policy'))).toBeUndefined();
    const { out } = await root(sign(), 'yes');
    expect(out).toContain('policy version 2 of 2026-11-20 09:00:00 UTC');
    expect(out).toContain('20.00 yuan');
    expect(out).toContain(`policy version 2 in ${at('platform.policy')}`);
    const signed = files.read(at('platform.policy'))!;
    expect(policyKind.decode(payloadOf(signed))).toMatchObject({ version: 2, iat: NOW_MS / 1000 });

    for (const version of [1, 2]) {
      writeFileSync(at('policy.yaml'), text(version));
      expect((await root(sign('--yes'))).failed).toMatch(/^downgrade_refused: .*version 2/);
      expect(files.read(at('platform.policy'))).toEqual(signed);
    }
    writeFileSync(at('policy.yaml'), text(3));
    expect((await root(sign('--yes'))).failed).toBeUndefined();
    expect(policyKind.decode(payloadOf(files.read(at('platform.policy'))!)).version).toBe(3);
  });

  test('a problem in the file is told with its place', async () => {
    await root(['init', '--out', at('r'), '--no-passphrase']);
    writeFileSync(at('policy.yaml'), text(1).replace('"20.00"', '20.00'));
    const { failed, exit } = await root(sign('--yes'));
    expect(failed).toContain('ladders.0.bands.0.upTo: is 20; allowed: an amount in quotes');
    expect(exit).toBe(EXITS.config);
  });
});
