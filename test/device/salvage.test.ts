// Method: an outbox with everything in it, as a clean end and as kill -9 leave it, is damaged at
// seeded places, thousands of times with SAYTAP_FULL. Whatever happens to the bytes, the opening
// either gives back what was stored or sets the file aside, says so, and keeps what can be proved.
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { identify } from '../../src/cose.ts';
import { OUTBOX_WINDOW, RESEND_FOR_MS } from '../../src/limits.ts';
import { seal } from '../../src/objects/kind.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import { archive } from '../../src/node/archive.ts';
import { clock, files } from '../../src/node/platform.ts';
import type { SqlRow } from '../../src/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type SalvageParts, openOutbox } from '../../device/salvage.ts';
import { createTrust } from '../../device/trust.ts';
import { seeded } from '../broker/storm.ts';
import { damage } from './damage.ts';
import {
  MANDATE_ID,
  NONCE,
  REALM,
  START_S,
  bridge,
  policy,
  reasonOf,
  root,
  sealOrder,
  orderId,
  statements,
  stranger,
  wearer,
} from './stage.ts';

const ROUNDS = process.env['SAYTAP_FULL'] === undefined ? 60 : 5_000;
const SEED = Number(process.env['SAYTAP_SEED'] ?? 20_261_120);
const REQUESTS = 40;
const NAME = 'outbox.db';

type Stored = { id: string; envelope: Uint8Array; receipt?: Uint8Array; cancel?: Uint8Array };
/** What was put, in order; the last three are open, one of them to be cancelled. */
const stored: Stored[] = [];
let clean: string;
let killed: string;
/** The row of the counter before the last request. */
let behind: SqlRow;
/** A number that no connection of the undamaged device has had. */
let session: number;

beforeAll(async () => {
  clean = mkdtempSync(join(tmpdir(), 'saytap-salvage-'));
  killed = mkdtempSync(join(tmpdir(), 'saytap-salvage-'));
  const { database, outbox } = openOutbox(partsOf(clean));
  session = outbox.sessions(1000) + 1000;
  for (let counter = 1; counter <= REQUESTS; counter++) {
    const envelope = await seal(
      requestKind,
      {
        exp: START_S + 300 + counter,
        action: 'pay',
        mandate: MANDATE_ID,
        counter,
        amount: { currency: 'CNY', minor: BigInt(counter) },
        payee: 'luckin-coffee',
        presence: 2,
        channel: 'voice',
        nonce: NONCE,
      },
      REALM,
      wearer,
    );
    const { id } = identify(envelope, REALM, requestKind.name);
    if (counter === REQUESTS)
      behind = database.prepare("SELECT * FROM counters WHERE key <> 'sessions'").get()!;
    outbox.put({ id, kind: 'request', envelope, storedMs: 1 }, { key: wearer.key.name, counter });
    const one: Stored = { id, envelope };
    stored.push(one);
    if (counter <= REQUESTS - 3) {
      one.receipt = await receiptFor(id);
      await outbox.close(id, one.receipt, 1);
      await outbox.told(id);
    }
  }
  const order = await sealOrder({}, wearer);
  const orderEntry = { id: orderId(order), envelope: order };
  outbox.put({ ...orderEntry, kind: 'order', storedMs: 1 });
  stored.push(orderEntry);
  const ask = { question: 'cancel', subject: stored[REQUESTS - 1]!.id } as const;
  stored[REQUESTS - 1]!.cancel = await seal(queryKind, ask, REALM, wearer);
  outbox.cancel(stored[REQUESTS - 1]!.id, stored[REQUESTS - 1]!.cancel!);
  // What the log alone still holds when the process is killed.
  stored[REQUESTS - 3]!.receipt = await receiptFor(stored[REQUESTS - 3]!.id);
  await outbox.close(stored[REQUESTS - 3]!.id, stored[REQUESTS - 3]!.receipt!, 2);
  for (const name of readdirSync(clean)) copyFileSync(join(clean, name), join(killed, name));
  expect(readFileSync(join(killed, `${NAME}-wal`)).length).toBeGreaterThan(0);
  outbox.end();
  for (const folder of [clean, killed]) {
    writeFileSync(join(folder, 'device.key.pem'), 'the key', { mode: 0o600 });
  }
  return () => [clean, killed].forEach((folder) => rmSync(folder, { recursive: true }));
});

test(`damage at random bytes, ${ROUNDS} times (SAYTAP_SEED=${SEED}): found, or harmless`, () => {
  const next = seeded(SEED);
  const met = { harmless: 0, setAside: 0, lost: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const folder = copyOf(next(2) === 0 ? clean : killed);
    const names = readdirSync(folder).filter((name) => name.startsWith(NAME));
    const isBoth = next(4) === 0;
    const first = names[next(names.length)]!;
    const hurt = names.filter((name) => isBoth || name === first);
    const how = hurt.map((name) => `${name}: ${damage(join(folder, name), next)}`).join(', ');

    const { outbox, setAside } = openOutbox(partsOf(folder));
    const why = `round ${round}: ${how}`;
    expect(readFileSync(join(folder, 'device.key.pem'), 'utf8'), why).toBe('the key');
    const kept = stored.filter(({ id }) => outbox.get(id));
    for (const { id, envelope, receipt, cancel } of kept) {
      const entry = outbox.get(id)!;
      expect(entry.envelope, why).toEqual(envelope);
      if (entry.receipt) expect(entry.receipt, why).toEqual(receipt);
      if (entry.cancel) expect(entry.cancel, why).toEqual(cancel);
    }
    const all = outbox.open().length + outbox.recent(1000).length + outbox.orders('', 9).length;
    expect(all, `${why}: nothing that was never stored`).toBe(kept.length);

    const key = wearer.key.name;
    const use = () => put(outbox, outbox.counter(key) + 1);
    if (setAside) {
      met.setAside++;
      expect(outbox.sessions(1), `${why}: sessions go on`).toBeGreaterThanOrEqual(session);
      met.lost += stored.length - kept.length;
      expect(existsSync(join(folder, setAside.file)), why).toBe(true);
      expect(setAside.found, why).toBe(kept.length);
      expect(setAside.open, why).toBe(outbox.open().length);
      if (hurt.length === 1 && how.includes('byte ')) {
        expect(kept.length, `${why}: one byte costs one entry`).toBeGreaterThan(stored.length - 2);
      }
      expect(reasonOf(use), why).toBe('unavailable');
      // The bridge has seen all but what may be on its way; nothing of that is used again.
      outbox.settleCounter(key, REQUESTS - next(OUTBOX_WINDOW));
      expect(outbox.counter(key), why).toBeGreaterThanOrEqual(REQUESTS);
    } else {
      met.harmless++;
      expect(kept, why).toEqual(stored);
      for (const { id, receipt, cancel } of stored.slice(0, REQUESTS - 3)) {
        expect(outbox.get(id), why).toMatchObject({ receipt, cancel });
      }
      expect(outbox.get(stored[REQUESTS - 1]!.id)?.cancel, why).toEqual(
        stored[REQUESTS - 1]!.cancel,
      );
      expect(outbox.counter(key), why).toBe(REQUESTS);
    }
    expect(reasonOf(use), why).toBe('accepted');
    outbox.end();
    const again = openOutbox(partsOf(folder));
    expect(again.setAside, `${why}: the second start`).toBeUndefined();
    expect(again.outbox.get(id(99)), why).toBeDefined();
    again.outbox.end();
    rmSync(folder, { recursive: true });
  }
  console.log(
    `${ROUNDS} damages: ${met.setAside} set aside, ${met.harmless} without effect; ` +
      `${met.lost} of ${met.setAside * stored.length} entries could not be found again`,
  );
  expect(Math.min(met.setAside, met.harmless)).toBeGreaterThan(ROUNDS / 10);
}, 900_000);

test('an undamaged outbox is left alone, also after kill -9', () => {
  for (const made of [clean, killed]) {
    const folder = copyOf(made);
    const { outbox, setAside } = openOutbox(partsOf(folder));
    expect(setAside).toBeUndefined();
    for (const { id, envelope, receipt, cancel } of stored) {
      expect(outbox.get(id)).toMatchObject({ envelope, receipt, cancel });
    }
    outbox.end();
    expect(readdirSync(folder).sort()).toEqual(['device.key.pem', NAME]);
  }
});

test.each([
  ['empty', (path: string) => writeFileSync(path, '')],
  ['all zeros', (path: string) => writeFileSync(path, new Uint8Array(8192))],
  ['of another program', (path: string) => writeFileSync(path, '{"payments":[]}')],
])('a file that is %s is set aside, and nothing is found in it', (_, hurt) => {
  const folder = copyOf(clean);
  hurt(join(folder, NAME));
  const { outbox, setAside } = openOutbox(partsOf(folder));
  expect(setAside).toMatchObject({ found: 0, open: 0 });
  expect(setAside!.file).toMatch(/^outbox\.db\.damaged-\d{4}-\d\d-\d\dT\d{6}Z$/);
  expect(reasonOf(() => put(outbox, 1))).toBe('unavailable');
  outbox.settleCounter(wearer.key.name, 0);
  expect(outbox.counter(wearer.key.name)).toBe(OUTBOX_WINDOW);
  outbox.end();
});

test('a changed byte of each column of a sealed row is found', () => {
  const changes = [
    `id = '${'0'.repeat(32)}'`,
    `kind = 'order'`,
    'envelope = zeroblob(9)',
    'stored_ms = stored_ms + 1',
    'receipt = NULL',
    'closed_ms = 7',
    `cancel = x'00'`,
    'is_told = 0',
    `seal = x'0011223344556677'`,
  ];
  for (const change of changes) {
    const folder = copyOf(clean);
    const database = openDatabase(join(folder, NAME));
    database.exec(`UPDATE entries SET ${change} WHERE place = 3`);
    database.close();
    const { outbox, setAside } = openOutbox(partsOf(folder));
    expect(setAside?.why, change).toContain('a row of entries');
    outbox.end();
  }
  for (const change of ['last = 3', 'is_settled = 0', `key = 'other'`]) {
    const folder = copyOf(clean);
    const database = openDatabase(join(folder, NAME));
    database.exec(`UPDATE counters SET ${change} WHERE key <> 'sessions'`);
    database.close();
    const { outbox, setAside } = openOutbox(partsOf(folder));
    expect(setAside?.why, change).toContain('a row of counters');
    expect(outbox.counter(wearer.key.name), 'the requests have it').toBe(REQUESTS);
    outbox.end();
  }
});

test('a counter that is behind the requests, though its row is whole, is damage', () => {
  const folder = copyOf(clean);
  const database = openDatabase(join(folder, NAME));
  const { last, seal: sealed } = behind;
  database
    .prepare('UPDATE counters SET last = ?, seal = ? WHERE key = ?')
    .run(last!, sealed!, wearer.key.name);
  database.close();
  const { outbox, setAside } = openOutbox(partsOf(folder));
  expect(setAside).toMatchObject({ found: stored.length });
  expect(setAside!.why).toContain(`counter ${REQUESTS} is not counted`);
  expect(outbox.counter(wearer.key.name)).toBe(REQUESTS);
  outbox.end();
});

test('a power cut anywhere while it is set aside: the next start finds the same', () => {
  const hurt = copyOf(killed);
  const bytes = readFileSync(join(hurt, NAME));
  writeFileSync(join(hurt, NAME), bytes.fill(0, 0, 4096));
  const whole = openOutbox(partsOf(copyOf(hurt)));
  const expected = { found: whole.setAside!.found, open: whole.setAside!.open };
  whole.outbox.end();
  expect(expected.found).toBeGreaterThan(REQUESTS / 2);

  for (let cut = 1; ; cut++) {
    const folder = copyOf(hurt);
    let steps = 0;
    const dying = <Args extends unknown[], Result>(run: (...all: Args) => Result) => {
      return (...all: Args) => {
        if (++steps === cut) throw new Error('the power is gone');
        return run(...all);
      };
    };
    const parts: SalvageParts = {
      ...partsOf(folder),
      files: { ...files, replace: dying(files.replace) },
      archive: { ...archive, move: dying(archive.move), swap: dying(archive.swap) },
      openDatabase: dying((path: string) => {
        const database = openDatabase(path);
        return { ...database, transaction: dying(database.transaction) };
      }),
    };
    let isOver = false;
    try {
      openOutbox(parts).outbox.end();
      isOver = true;
    } catch (error) {
      expect((error as Error).message).toBe('the power is gone');
    }
    const { outbox, setAside } = openOutbox(partsOf(folder));
    const open = outbox.open().length;
    expect({ found: open + outbox.recent(1000).length, open }, `cut ${cut}`).toEqual(expected);
    expect(
      reasonOf(() => put(outbox, REQUESTS + 50)),
      `cut ${cut}`,
    ).toBe('unavailable');
    expect(readdirSync(folder).some((name) => name.includes('.damaged-'))).toBe(true);
    outbox.end();
    if (!isOver) continue;
    expect(setAside, 'not twice').toBeUndefined();
    expect(cut).toBeGreaterThan(8);
    return;
  }
});

test('what was accepted offline is sent again, whatever the clock on the wall says', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-salvage-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const before = openOutbox(partsOf(folder));
  const upload = START_S + 10 * 86_400;
  const value: Request = {
    exp: upload,
    action: 'pay',
    mandate: MANDATE_ID,
    counter: 1,
    amount: AMOUNT,
    payee: 'luckin-coffee',
    presence: 1,
    channel: 'tap',
    nonce: NONCE,
  };
  const envelope = await seal(requestKind, value, REALM, wearer);
  const request = identify(envelope, REALM, requestKind.name);
  const entry = { id: request.id, kind: 'request', envelope, storedMs: START_S * 1000 } as const;
  before.outbox.put(entry, { key: wearer.key.name, counter: 1 });
  before.outbox.end();
  const bytes = readFileSync(join(folder, NAME));
  writeFileSync(join(folder, NAME), bytes.fill(0, 0, 100));

  // A board without a battery begins in 1970.
  const { outbox, setAside } = openOutbox({
    ...partsOf(folder),
    clock: { nowMs: () => 5_000, monotonicMs: () => 5_000 },
  });
  expect(setAside).toMatchObject({ found: 1, open: 1 });
  const [found] = outbox.open();
  // Given up neither now nor while the bridge may still answer for it.
  const givenUpMs = found!.storedMs + RESEND_FOR_MS;
  expect(givenUpMs).toBeGreaterThan(upload * 1000);
  expect(outbox.accepted()).toMatchObject([{ mandate: MANDATE_ID, amount: AMOUNT }]);
  outbox.end();
});

test('what others signed is not believed, wherever it lies in the file', async () => {
  const folder = copyOf(clean);
  const target = stored[REQUESTS - 2]!;
  const forged = await seal(
    receiptKind,
    { subject: target.id, outcome: 'captured', iat: START_S, amount: AMOUNT },
    REALM,
    stranger,
  );
  const bytes = readFileSync(join(folder, NAME));
  bytes.fill(0, 0, 100);
  writeFileSync(join(folder, NAME), Buffer.concat([bytes, forged]));
  const { outbox, setAside } = openOutbox(partsOf(folder));
  expect(setAside?.found).toBe(stored.length);
  expect(outbox.get(target.id)).toMatchObject({ receipt: undefined });
  outbox.end();
});

const AMOUNT = { currency: 'CNY', minor: 1n };
const id = (n: number) => n.toString(16).padStart(32, '0');

function receiptFor(subject: string): Promise<Uint8Array> {
  const value = { subject, outcome: 'captured', iat: START_S, amount: AMOUNT } as const;
  return seal(receiptKind, value, REALM, bridge);
}

function put(outbox: ReturnType<typeof openOutbox>['outbox'], counter: number): void {
  const entry = { id: id(99), kind: 'order', envelope: Uint8Array.of(1), storedMs: 1 } as const;
  outbox.put(entry, { key: wearer.key.name, counter });
}

function partsOf(folder: string): SalvageParts {
  return {
    folder,
    realm: REALM,
    keys: [wearer.key],
    trust: createTrust(REALM, root.key, statements, [policy], () => START_S * 1000),
    files,
    archive,
    openDatabase,
    clock,
  };
}

function copyOf(folder: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'saytap-salvage-'));
  for (const name of readdirSync(folder)) copyFileSync(join(folder, name), join(copy, name));
  onTestFinished(() => rmSync(copy, { recursive: true, force: true }));
  return copy;
}
