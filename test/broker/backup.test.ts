// Backup and restore on real files and real SQLite: what comes back, what stays, what is refused.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Place, makeBackup, restoreBackup } from '../../broker/backup.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { createNonces } from '../../broker/tick.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { archive } from '../../src/node/archive.ts';
import { files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { admissionOf, admitTo, enrol, putMandate } from './stage.ts';

const NOW_MS = Date.UTC(2026, 10, 20, 9);
const SECRET = new Uint8Array(32).fill(3);

let home = '';
let nowMs = NOW_MS;
let lines: string[] = [];
const at = (...names: string[]) => join(home, ...names);
const write = (line: string) => void lines.push(line);
const config = {
  environment: 'sim',
  ledger: 'demo',
  folder: 'bridge',
  root: 'root.pub.pem',
  statements: 'statements',
  policy: 'platform.policy',
  mqtt: { listen: { host: '127.0.0.1', port: 0 } },
  risk: { url: 'http://127.0.0.1:1', secret: 'risk.secret' },
  backends: [
    { kind: 'ledger', name: 'ledger', url: 'http://127.0.0.1:1', secret: 'ledger.secret' },
  ],
  log: 'info',
} as const;
const place = (): Place => ({
  config: { ...config, backends: [...config.backends] },
  file: at('bridge.yaml'),
  at: (path) => at(path),
});

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'saytap-backup-'));
  nowMs = NOW_MS;
  lines = [];
  mkdirSync(at('bridge'), { mode: 0o700 });
  mkdirSync(at('statements'));
  const texts = {
    'bridge/bridge.key.pem': 'key one',
    'bridge/ca.key.pem': 'key of the authority',
    'bridge/ca.pem': 'authority',
    'bridge/tick.secret': 'tick',
    'root.pub.pem': 'root',
    'platform.policy': 'policy',
    'risk.secret': 'risk',
    'ledger.secret': 'ledger',
    'bridge.yaml': 'environment: sim',
    'statements/bridge.key': 'statement',
    'statements/notes.txt': 'not a statement',
  };
  for (const [name, text] of Object.entries(texts)) writeFileSync(at(name), text, { mode: 0o600 });
  await withStore((store) => store.setMeta('mark', 'before'));
});
afterEach(() => rmSync(home, { recursive: true }));

async function withStore<T>(
  use: (store: ReturnType<typeof createSqliteStore>) => Promise<T>,
  path = at('bridge', 'bridge.db'),
): Promise<T> {
  const store = createSqliteStore(openDatabase(path), timers, random);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const clock = { nowMs: () => nowMs, monotonicMs: () => 0 };
const parts = { files, archive, clock, openDatabase, random };

function backup(folder = at('backup')) {
  const operate = async (question: unknown) => {
    expect(question).toEqual({ ask: 'backup', path: join(folder, 'bridge.db') });
    return withStore((store) => store.backup(join(folder, 'bridge.db')));
  };
  return makeBackup({ ...parts, operate }, place(), folder, write);
}

function restore(isRunning = false, open: typeof openDatabase = openDatabase) {
  nowMs += 1_000;
  const asked = { ...parts, openDatabase: open, isRunning: () => Promise.resolve(isRunning) };
  return restoreBackup(asked, place(), at('backup'), write);
}

const generation = () => withStore((store) => store.meta('tick_generation'));
const mark = () => withStore((store) => store.meta('mark'));
const manifest = () =>
  JSON.parse(readFileSync(at('backup', 'manifest.json'), 'utf8')) as {
    head: string;
    files: { name: string; sha256: string }[];
  };

/** Exit code and first words of what a promise rejects with. */
async function refusal(promise: Promise<unknown>): Promise<readonly [number, string]> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OperatorError);
  return [(error as OperatorError).exit, (error as OperatorError).message];
}

describe('a backup', () => {
  test('holds store, keys, secrets, statements, configuration, for the owner alone', async () => {
    await backup();
    const names = manifest().files.map(({ name }) => name);
    expect(names).toEqual([
      'bridge.db',
      'bridge.key.pem',
      'ca.key.pem',
      'ca.pem',
      'tick.secret',
      'root.pub.pem',
      'platform.policy',
      'risk.secret',
      'backends/ledger.secret',
      'statements/bridge.key',
      'bridge.yaml',
    ]);
    const found = readdirSync(at('backup'), { recursive: true, withFileTypes: true });
    expect(found.filter((entry) => entry.isFile()).length).toBe(names.length + 1);
    expect(statSync(at('backup')).mode & 0o777).toBe(0o700);
    for (const name of [...names, 'manifest.json']) {
      expect(statSync(at('backup', name)).mode & 0o777, name).toBe(0o600);
    }
    expect(lines.join('\n')).not.toContain('key one');
  });

  test('tells the head of the evidence chain', async () => {
    const note = { subject: 's', kind: 'note', body: new Uint8Array(1), nowMs } as const;
    await withStore((store) => store.note(note));
    const [row] = await withStore((store) => store.evidencePage(0, 1));
    await backup();
    const head = `1:${Buffer.from(row!.link).toString('hex')}`;
    expect(manifest().head).toBe(head);
    expect(lines).toContain(`head of the evidence chain: ${head}`);
  });

  test('is never written over another', async () => {
    await backup();
    const before = readFileSync(at('backup', 'manifest.json'));
    expect(await refusal(backup())).toEqual([
      EXITS.storage,
      `${at('backup')} is not empty: name a new folder`,
    ]);
    expect(readFileSync(at('backup', 'manifest.json'))).toEqual(before);
  });

  test('is not put where others may look', async () => {
    mkdirSync(at('open'));
    chmodSync(at('open'), 0o755);
    const [exit, line] = await refusal(backup(at('open')));
    expect([exit, line]).toEqual([
      EXITS.storage,
      `others may enter ${at('open')}: run chmod 700 ${at('open')}`,
    ]);
    expect(readdirSync(at('open'))).toEqual([]);
  });
});

describe('a restore', () => {
  test('brings the store back, and keeps the one that was there', async () => {
    await backup();
    await withStore((store) => store.setMeta('mark', 'after'));
    await restore();
    expect(await mark()).toBe('before');
    const aside = at('bridge', 'bridge.db.before-restore-2026-11-20T09-00-01-000Z');
    expect(await withStore((store) => store.meta('mark'), aside)).toBe('after');
    expect(readdirSync(at('bridge')).sort()).toEqual([
      'bridge.db',
      'bridge.db.before-restore-2026-11-20T09-00-01-000Z',
      'bridge.key.pem',
      'ca.key.pem',
      'ca.pem',
      'tick.secret',
    ]);
    expect(statSync(at('bridge', 'bridge.db')).mode & 0o777).toBe(0o600);
  });

  test('makes every earlier nonce stale, and the second restore again', async () => {
    const isFresh = (given: number, now: string | undefined) =>
      createNonces(SECRET, Number(now)).isFresh(createNonces(SECRET, given).at(nowMs), nowMs);
    await backup();
    await restore();
    const first = await generation();
    expect(first).toBe('2');
    expect(isFresh(1, first)).toBe(false);
    expect(isFresh(2, first)).toBe(true);
    // The same backup once more: what was given out between the two is stale as well.
    await restore();
    const second = await generation();
    expect(second).toBe('3');
    expect(isFresh(1, second)).toBe(false);
    expect(isFresh(2, second)).toBe(false);
    expect(lines.join('\n')).toContain('tick generation is raised to 3, one above any before');
  });

  test('is in the evidence, after what the backup held', async () => {
    const body = new Uint8Array(1);
    await withStore((store) => store.note({ subject: 's', kind: 'note', body, nowMs }));
    await backup();
    await restore();
    const rows = await withStore((store) => store.evidencePage(0, 10));
    expect(rows.map(({ number, subject }) => [number, subject])).toEqual([
      [1, 's'],
      [2, 'restore'],
    ]);
    const said = JSON.parse(new TextDecoder().decode(rows[1]!.body)) as object;
    expect(said).toEqual({
      restored: '2026-11-20T09:00:00.000Z',
      head: manifest().head,
      generation: 2,
    });
  });

  test('refuses what was under way, in the evidence too, and lets access go on', async () => {
    const id = await withStore(async (store) => {
      await enrol(store);
      const mandate = await putMandate(store);
      const { run } = await admitTo(store, await admissionOf({ mandate }));
      const entry = { mandate, counter: 2, action: 'access', amount: undefined as never } as const;
      await admitTo(store, await admissionOf(entry));
      return run.id;
    });
    await backup();
    await restore();
    await withStore(async (store) => {
      const runs = await store.runs('all', { atMs: 0, id: '' }, 9);
      expect(runs.map(({ request, refusal }) => [request.action, refusal])).toEqual(
        expect.arrayContaining([
          ['pay', 'unavailable'],
          ['access', undefined],
        ]),
      );
      const last = (await store.evidence(id)).at(-1)!;
      const said = JSON.parse(new TextDecoder().decode(last.body)) as object;
      expect(said).toEqual({ restored: '2026-11-20T09:00:00.000Z', refusal: 'unavailable' });
    });
  });

  test('says when it was: what was paid after the backup may be unknown', async () => {
    await backup();
    expect(await withStore((store) => store.meta('restored_ms')), 'not restored').toBeUndefined();
    await restore();
    expect(await withStore((store) => store.meta('restored_ms'))).toBe(String(clock.nowMs()));
  });

  test('is not before the backup, whatever the machine believes', async () => {
    await backup();
    nowMs = 86_400_000;
    await restore();
    const madeMs = Date.parse('2026-11-20T09:00:00.000Z');
    expect(await withStore((store) => store.meta('restored_ms'))).toBe(String(madeMs));
  });

  test('on an empty machine puts back keys, secrets and statements too', async () => {
    await backup();
    for (const name of ['bridge', 'statements', 'root.pub.pem', 'risk.secret', 'ledger.secret']) {
      rmSync(at(name), { recursive: true });
    }
    await restore();
    expect(await generation()).toBe('2');
    expect(readFileSync(at('bridge', 'bridge.key.pem'), 'utf8')).toBe('key one');
    expect(readFileSync(at('bridge', 'tick.secret'), 'utf8')).toBe('tick');
    expect(readFileSync(at('statements', 'bridge.key'), 'utf8')).toBe('statement');
    expect(readFileSync(at('ledger.secret'), 'utf8')).toBe('ledger');
    expect(statSync(at('risk.secret')).mode & 0o777).toBe(0o600);
    expect(statSync(at('bridge')).mode & 0o777).toBe(0o700);
  });

  test('leaves a newer key where it is, and says so', async () => {
    await backup();
    writeFileSync(at('bridge', 'bridge.key.pem'), 'key two');
    await restore();
    expect(readFileSync(at('bridge', 'bridge.key.pem'), 'utf8')).toBe('key two');
    expect(lines).toContain(
      `left ${at('bridge', 'bridge.key.pem')} as it is; the backup has another bridge.key.pem`,
    );
  });

  test('replaces a damaged store', async () => {
    await backup();
    writeFileSync(at('bridge', 'bridge.db'), 'no database at all, whatever it was before');
    await restore();
    expect(await mark()).toBe('before');
    const aside = at('bridge', 'bridge.db.before-restore-2026-11-20T09-00-01-000Z');
    expect(readFileSync(aside, 'utf8')).toMatch(/^no database/);
  });

  test('takes away the log of a damaged store: it must not meet the new one', async () => {
    await backup();
    writeFileSync(at('bridge', 'bridge.db-wal'), 'a log');
    const damaged = new OperatorError('storage', 'damaged', { cause: 'row 7 is missing' });
    await restore(false, (path) => {
      if (path === at('bridge', 'bridge.db')) throw damaged;
      return openDatabase(path);
    });
    expect(existsSync(at('bridge', 'bridge.db-wal'))).toBe(false);
    const aside = at('bridge', 'bridge.db.before-restore-2026-11-20T09-00-01-000Z');
    expect(readFileSync(`${aside}-wal`, 'utf8')).toBe('a log');
    expect(await mark()).toBe('before');
  });

  test('tells in plain words what it cannot know', async () => {
    await backup();
    await restore();
    const told = lines.join('\n');
    for (const words of ['after the backup', 'stale_nonce', 'saytap audit', 'is raised to 2']) {
      expect(told).toContain(words);
    }
  });
});

describe('a restore changes nothing', () => {
  /** Everything of the installation but the backup itself. */
  const everything = () =>
    readdirSync(home, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(at('backup')))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path, readFileSync(path).toString('base64')]);

  const cases: readonly (readonly [string, () => void, RegExp, number])[] = [
    [
      'from a database with one byte changed',
      () => {
        const bytes = readFileSync(at('backup', 'bridge.db'));
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(at('backup', 'bridge.db'), bytes);
      },
      /damaged: bridge\.db is not the file that was backed up$/,
      EXITS.storage,
    ],
    [
      'from a backup without one of its files',
      () => rmSync(at('backup', 'tick.secret')),
      /damaged: tick\.secret is missing$/,
      EXITS.storage,
    ],
    [
      'from a backup that was cut off before its manifest',
      () => rmSync(at('backup', 'manifest.json')),
      /manifest\.json does not exist$/,
      EXITS.config,
    ],
    [
      'from half a manifest',
      () => writeFileSync(at('backup', 'manifest.json'), '{"version": 1'),
      /manifest\.json is damaged: it is no JSON$/,
      EXITS.storage,
    ],
    [
      'from a manifest that reaches out of its folder',
      () => {
        const told = manifest();
        told.files[1]!.name = '../root.pub.pem';
        writeFileSync(at('backup', 'manifest.json'), JSON.stringify(told));
      },
      /manifest\.json is damaged, or of another version: files\.1\.name$/,
      EXITS.storage,
    ],
    [
      'from a manifest without the database',
      () => {
        const told = manifest();
        told.files.shift();
        writeFileSync(at('backup', 'manifest.json'), JSON.stringify(told));
      },
      /damaged: bridge\.db is not in it$/,
      EXITS.storage,
    ],
    [
      "from another ledger's backup",
      () => {
        const told = { ...manifest(), ledger: 'other' };
        writeFileSync(at('backup', 'manifest.json'), JSON.stringify(told));
      },
      /^this is a backup of sim ledger other, the configuration names sim ledger demo$/,
      EXITS.config,
    ],
  ];
  test.each(cases)('%s', async (_why, spoil, line, exit) => {
    await backup();
    spoil();
    const before = everything();
    const [code, message] = await refusal(restore());
    expect(message).toMatch(line);
    expect(code).toBe(exit);
    expect(everything()).toEqual(before);
  });

  test('while a bridge answers', async () => {
    await backup();
    const before = everything();
    expect(await refusal(restore(true))).toEqual([
      EXITS.storage,
      'the bridge is running: stop it, then restore',
    ]);
    expect(everything()).toEqual(before);
  });

  test('while another program has the store open', async () => {
    await backup();
    const other = openDatabase(at('bridge', 'bridge.db'));
    const [exit, message] = await refusal(restore());
    other.close();
    expect([exit, message]).toEqual([
      EXITS.storage,
      `The database ${at('bridge', 'bridge.db')} is in use: ` +
        'stop the other program that has it open.',
    ]);
    expect(await mark()).toBe('before');
    expect(existsSync(at('bridge', 'bridge.db.restore-2026-11-20T09-00-01-000Z'))).toBe(false);
  });
});
