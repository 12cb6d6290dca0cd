/**
 * The audit, over stores that real payments filled.
 *
 * Method: a sound store passes; then one thing is changed by hand, as somebody with the database
 * file (or the backend's) could, and the audit must name that thing and nothing else. Any byte of
 * the evidence is such a thing.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cancelKeyOf } from '../../broker/attempt.ts';
import { type AuditReport, audit } from '../../broker/audit.ts';
import type { Backend, BackendAnswer, BackendState, Moved } from '../../broker/backends/port.ts';
import { type Operation, openBooks } from '../../broker/ledger/books.ts';
import { toHex } from '../../src/bytes.ts';
import { AUDIT_LISTED_MAX, AUDIT_PAGE_ROWS, AUDIT_UNANSWERED_MAX } from '../../src/limits.ts';
import type { Request } from '../../src/objects/request.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { SqlValue } from '../../src/platform.ts';
import { CAST, type Role, type Stage, createStage, decided, putMandate } from './stage.ts';

const DAY_MS = 86_400_000;
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

type Filled = Readonly<{
  stage: Stage;
  /** What really moved at the backend, changed by tests. */
  moved: Moved[];
  backend: Backend;
  ids: Readonly<Record<'paid' | 'denied' | 'held' | 'capture' | 'refund' | 'declined', string>>;
}>;

/** Payments of every kind, some of them erased, and a backend that lists what it moved. */
async function filled(): Promise<Filled> {
  const stage = await createStage();
  const mandate = await putMandate(stage.store, {
    exp: Math.floor(stage.clock.nowMs() / 1000) + 300 * 86_400,
    windows: [
      { kind: 'total', max: 1_000_00n, count: 100 },
      { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 500_00n, count: 50 },
    ],
  });
  const moved: Moved[] = [];
  const list = (kind: Moved['kind'], key: string, original: string, minor: bigint) =>
    void moved.push({
      ...{ number: moved.length + 1, key, original, kind },
      ...{ amount: yuan(minor), atMs: stage.clock.nowMs() },
    });
  const counters = { glasses: 0, kiosk: 0 };
  async function ask(changes: Partial<Request>, role: 'glasses' | 'kiosk' = 'glasses') {
    const { id, envelope } = await stage.request(
      { mandate, counter: ++counters[role], ...changes },
      role as Role,
    );
    await stage.deliver(role, 'request', envelope);
    return id;
  }

  const old = await ask({ amount: yuan(5_00n) });
  list('pay', old, old, 5_00n);
  await stage.time.leap(40 * DAY_MS);
  const atMs = stage.clock.nowMs();
  const erasure = { payer: undefined, beforeMs: atMs - 35 * DAY_MS, by: 'Ada', nowMs: atMs };
  expect(await stage.store.erase(erasure)).toBeGreaterThan(3);

  const order = await stage.order({ exp: Math.floor(atMs / 1000) + 600 });
  await stage.deliver('kiosk', 'order', order.envelope);
  const paid = await ask({ amount: yuan(40_00n), order: order.id, terminal: 'till-1' });
  list('pay', paid, paid, 40_00n);
  stage.risk.answers.push(decided('deny', 900, ['VELOCITY']));
  const denied = await ask({});
  const held = await ask({ action: 'hold', amount: yuan(30_00n) });
  list('hold', held, held, 30_00n);
  const took = { original: held, amount: yuan(20_00n), presence: 0 } as const;
  const capture = await ask({ action: 'capture', ...took }, 'kiosk');
  list('capture', capture, held, 20_00n);
  list('release', capture, held, 10_00n);
  const back = { original: paid, amount: yuan(15_00n), presence: 0 } as const;
  const refund = await ask({ action: 'refund', ...back }, 'kiosk');
  list('refund', refund, paid, 15_00n);
  stage.backend.acts.push('declined');
  const declined = await ask({ amount: yuan(1_00n) });
  const subject = '77'.repeat(16);
  const { envelope } = await stage.query({ question: 'cancel', subject });
  await stage.deliver('glasses', 'query', envelope);

  const backend: Backend = {
    ...stage.backend.port,
    movements: async (after) => moved.filter(({ number }) => number > after).slice(0, 3),
  };
  const ids = { paid, denied, held, capture, refund, declined };
  expect(stage.open()).toEqual([]);
  return { stage, moved, backend, ids };
}

function audited(site: Filled, head?: string, backend: Backend = site.backend) {
  return audit({ store: site.stage.store, backends: [backend], timers }, head);
}

/** What and where of each difference. */
const named = ({ differences }: AuditReport) =>
  differences.map(({ what, where }) => `${what} | ${where}`);

test('a sound store passes, and says how much it looked at', async () => {
  const site = await filled();
  const report = await audited(site);
  expect(report).toMatchObject({
    passed: true,
    differences: [],
    more: 0,
    unchecked: [],
    payments: { concluded: 6, asked: 5, open: 0, openIds: [] },
    backends: [{ name: 'ledger', movements: 6 }],
  });
  const rows = site.stage.database.prepare('SELECT * FROM evidence').all();
  const erased = rows.filter(({ body }) => body === null).length;
  expect(erased).toBeGreaterThan(3);
  expect(report.evidence).toEqual({ rows: rows.length, erased });
  expect(report.head).toBe(`${rows.length}:${toHex(rows.at(-1)!['link'] as Uint8Array)}`);
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
});

describe('a single flipped byte of the evidence', () => {
  const COLUMNS = ['number', 'at_ms', 'subject', 'kind', 'salt', 'body', 'digest', 'link'] as const;

  /** The bytes of a value as SQLite would keep them, and the way back. */
  function bytesOf(value: SqlValue): Uint8Array {
    if (typeof value === 'string') return new TextEncoder().encode(value);
    if (typeof value !== 'bigint') return Uint8Array.from(value!);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, value);
    return bytes;
  }

  test('is found, and its row is named', async () => {
    const { stage } = await filled();
    const { database, store } = stage;
    const rows = database.prepare('SELECT * FROM evidence ORDER BY number').all();
    let flips = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: rows.length - 1 }),
        fc.constantFrom(...COLUMNS),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (at, column, place, mask) => {
          const row = rows[at]!;
          fc.pre(row[column] !== null);
          const bytes = bytesOf(row[column]!);
          bytes[place % bytes.length]! ^= mask;
          const number = row['number'] as bigint;
          const integer = new DataView(bytes.buffer, bytes.byteOffset).getBigInt64.bind(
            new DataView(bytes.buffer, bytes.byteOffset),
          );
          let stored = number;
          if (column === 'number') {
            stored = integer(0);
            fc.pre(!rows.some((other) => other['number'] === stored));
            database.prepare('UPDATE evidence SET number = ? WHERE number = ?').run(stored, number);
          } else if (column === 'at_ms') {
            database
              .prepare('UPDATE evidence SET at_ms = ? WHERE number = ?')
              .run(integer(0), number);
          } else if (column === 'subject' || column === 'kind') {
            database
              .prepare(`UPDATE evidence SET ${column} = CAST(? AS TEXT) WHERE number = ?`)
              .run(bytes, number);
          } else {
            database
              .prepare(`UPDATE evidence SET ${column} = ? WHERE number = ?`)
              .run(bytes, number);
          }
          flips++;
          const report = await audit({ store, backends: [] });
          database
            .prepare(
              `UPDATE evidence SET number = ?, at_ms = ?, subject = ?, kind = ?, salt = ?, body = ?,
                 digest = ?, link = ? WHERE number = ?`,
            )
            .run(...COLUMNS.map((name) => row[name]!), stored);
          const chain = report.differences.filter(({ where }) => where.startsWith('evidence row'));
          const told = chain.flatMap(({ where, found }) => [where, found]).join(' ');
          // A row that became another number is told by the gap or by its new number.
          const names = column === 'number' ? [Number(number), Number(stored)] : [Number(number)];
          expect(names.some((name) => new RegExp(`(^| )${name}( |$)`).test(told))).toBe(true);
          if (column !== 'number') {
            expect(new Set(chain.map(({ where }) => where)).size).toBe(1);
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(flips).toBeGreaterThan(200);
    expect((await audit({ store, backends: [] })).differences).toEqual([]);
  });

  test('every number that a flip can give the last row is found', async () => {
    const { stage } = await filled();
    const { database, store } = stage;
    const last = database.prepare('SELECT max(number) AS n FROM evidence').get()!['n'] as bigint;
    for (const other of [0n, -1n, -(2n ** 63n) + last, last + 1n, last + 2n ** 56n, 2n ** 62n]) {
      const move = database.prepare('UPDATE evidence SET number = ? WHERE number = ?');
      move.run(other, last);
      const { differences } = await audit({ store, backends: [] });
      expect(differences, String(other)).toContainEqual(
        expect.objectContaining({ what: 'number of a row' }),
      );
      move.run(last, other);
    }
  });
});

describe('what was changed by hand is named', () => {
  const cases: readonly (readonly [
    why: string,
    change: (site: Filled) => void,
    expected: (site: Filled) => readonly string[],
  ])[] = [
    [
      'a row of the chain deleted',
      ({ stage }) => stage.database.exec('DELETE FROM evidence WHERE number = 18'),
      () => ['number of a row | evidence row 18'],
    ],
    [
      'the last row deleted: the chain holds, but the payment lacks what every payment has',
      ({ stage, ids }) =>
        stage.database.exec(
          `DELETE FROM evidence WHERE number >= (SELECT max(number) FROM evidence
             WHERE subject = '${ids.declined}')`,
        ),
      ({ ids }) => [
        `evidence of a receipt | payment ${ids.declined}`,
        `receipt in the chain | payment ${ids.declined}`,
      ],
    ],
    [
      'contents deleted without an erasure',
      ({ stage }) =>
        stage.database.exec('UPDATE evidence SET salt = NULL, body = NULL WHERE number = 20'),
      () => ['rows without contents | evidence'],
    ],
    [
      'only the salt deleted',
      ({ stage }) => stage.database.exec('UPDATE evidence SET salt = NULL WHERE number = 20'),
      () => [expect.stringMatching(/^contents \| evidence row 20 \([a-z]+ .*[0-9a-f]{32}\)$/)],
    ],
    [
      'a window that says more is left',
      ({ stage }) =>
        stage.database.exec(`UPDATE windows SET settled = settled - 1 WHERE label = 'total'`),
      () => [expect.stringMatching(/^settled in a window \| mandate [0-9a-f]{32} window 1 total$/)],
    ],
    [
      'a reservation deleted',
      ({ stage, ids }) =>
        stage.database.exec(
          `DELETE FROM reservations WHERE run = '${ids.paid}' AND label <> 'total'`,
        ),
      () => [
        expect.stringMatching(/^settled in a window \| mandate \w+ window 2 \d+-\d+-\d+$/),
        expect.stringMatching(/^payments in a window \| mandate \w+ window 2 \d+-\d+-\d+$/),
      ],
    ],
    [
      'a receipt changed',
      ({ stage, ids }) =>
        stage.database
          .prepare('UPDATE runs SET receipt = ? WHERE id = ?')
          .run(Uint8Array.of(1, 2, 3), ids.paid),
      ({ ids }) => [`receipt | payment ${ids.paid}`],
    ],
    [
      'a request changed for another',
      ({ stage, ids }) =>
        stage.database.exec(
          `UPDATE runs SET envelope = (SELECT envelope FROM runs WHERE id = '${ids.denied}')
             WHERE id = '${ids.declined}'`,
        ),
      ({ ids }) => [
        `what was asked | payment ${ids.declined}`,
        `request | payment ${ids.declined}`,
      ],
    ],
    [
      'a refusal that says captured',
      ({ stage, ids }) =>
        stage.database.exec(`UPDATE runs SET outcome = 'captured' WHERE id = '${ids.denied}'`),
      ({ ids }) => [
        `money moved as the receipt says | payment ${ids.denied}`,
        `limits count what was paid | payment ${ids.denied}`,
      ],
    ],
    [
      'a movement that nobody asked for',
      ({ moved }) =>
        moved.push({ ...moved[1]!, number: 90, key: 'ee'.repeat(16), original: 'ee'.repeat(16) }),
      () => [`movement | ledger, movement 90 (pay under key ${'ee'.repeat(16)})`],
    ],
    [
      'a movement under an id that was only cancelled here',
      ({ moved }) =>
        moved.push({ ...moved[1]!, number: 90, key: '77'.repeat(16), original: '77'.repeat(16) }),
      () => [`movement | ledger, movement 90 (pay under key ${'77'.repeat(16)})`],
    ],
    [
      'a movement of a request that was refused before any attempt',
      ({ moved, ids }) =>
        moved.push({ ...moved[1]!, number: 90, key: ids.denied, original: ids.denied }),
      ({ ids }) => [`attempt of a movement | ledger, movement 90 (pay under key ${ids.denied})`],
    ],
    [
      'a payment that moved twice',
      ({ moved }) => moved.push({ ...moved[1]!, number: 90 }),
      ({ ids }) => [`money moved | ledger, movement 90 (pay under key ${ids.paid})`],
    ],
    [
      'another amount',
      ({ moved }) => void (moved[1] = { ...moved[1]!, amount: yuan(40_01n) }),
      ({ ids }) => [`amount of a movement | ledger, movement 2 (pay under key ${ids.paid})`],
    ],
    [
      'another currency',
      ({ moved }) => void (moved[1] = { ...moved[1]!, amount: { currency: 'EUR', minor: 40_00n } }),
      ({ ids }) => [`amount of a movement | ledger, movement 2 (pay under key ${ids.paid})`],
    ],
    [
      'a rest that was not all of the rest',
      ({ moved }) => void (moved[4] = { ...moved[4]!, amount: yuan(9_00n) }),
      ({ ids }) => [`amount of a movement | ledger, movement 5 (release under key ${ids.capture})`],
    ],
    [
      'a refund of another payment',
      ({ moved, ids }) => void (moved[5] = { ...moved[5]!, original: ids.held }),
      ({ ids }) => [
        `what a movement acts upon | ledger, movement 6 (refund under key ${ids.refund})`,
      ],
    ],
    [
      'money out where money should come back',
      ({ moved }) => void (moved[5] = { ...moved[5]!, kind: 'pay' }),
      ({ ids }) => [`kind of a movement | ledger, movement 6 (pay under key ${ids.refund})`],
    ],
    [
      'a payment that was told as captured and undone at the backend',
      ({ moved, ids }) =>
        moved.push({
          ...moved[1]!,
          ...{ number: 90, kind: 'release', key: cancelKeyOf(ids.paid), original: ids.paid },
        }),
      ({ ids }) => [
        `cancel of a payment | ledger, movement 90 (release under key ${cancelKeyOf(ids.paid)})`,
      ],
    ],
  ];
  test.each(cases)('%s', async (_why, change, expected) => {
    const site = await filled();
    change(site);
    const report = await audited(site);
    expect(named(report)).toEqual(expected(site));
    expect(report).toMatchObject({ passed: false, unchecked: [] });
  });
});

describe('a backend that says otherwise', () => {
  /** The site's backend, with other words about one key. */
  const saying = ({ backend }: Filled, key: string, state: BackendState): Backend => ({
    ...backend,
    query: async (asked) => (asked === key ? state : backend.query(asked)),
  });
  const done = (outcome: 'captured' | 'held' | 'voided' | 'refunded') =>
    ({ kind: 'done', outcome, reference: 'r' }) as const;

  test.each([
    ['paid', { kind: 'unseen' }, 'outcome', 'captured, and the backend knows nothing of it'],
    ['paid', { kind: 'declined', reason: 'backend_declined' }, 'outcome', 'captured, and declined'],
    ['paid', done('voided'), 'outcome', 'captured, and undone'],
    ['paid', done('refunded'), undefined, 'refunded later, as another request asked'],
    ['held', done('captured'), undefined, 'captured later, as another request asked'],
    ['held', done('voided'), 'outcome', 'captured later, and the backend says voided'],
    ['refund', done('captured'), 'outcome', 'another outcome'],
    ['declined', done('captured'), 'money moved', 'declined, and yet the money moved'],
    ['declined', { kind: 'unseen' }, undefined, 'nothing moved under any name'],
  ] as const)('%s: %j is a difference of %s (%s)', async (name, state, what, _why) => {
    const site = await filled();
    const id = site.ids[name];
    const report = await audited(site, undefined, saying(site, id, state));
    const expected = what && [`${what} at the backend | payment ${id} at ledger`];
    expect(named(report)).toEqual(expected ?? []);
    expect(report.passed).toBe(expected === undefined);
  });
});

describe('what could not be looked at is no pass and no difference', () => {
  test('a silent backend is asked a few times, and its attempts are counted', async () => {
    const site = await filled();
    let asked = 0;
    const query = async (): Promise<BackendState> => {
      asked++;
      return { kind: 'unknown', why: 'no answer' };
    };
    const report = await audited(site, undefined, { ...site.backend, query });
    expect(report).toMatchObject({ passed: false, differences: [], payments: { asked: 0 } });
    expect(report.unchecked).toEqual(['5 attempts at ledger: no answer']);
    expect(asked).toBe(AUDIT_UNANSWERED_MAX);
  });

  test('a backend that fails, and a list that does', async () => {
    const site = await filled();
    const away = () => Promise.reject(new Error('gone'));
    const report = await audited(site, undefined, {
      ...site.backend,
      query: away,
      movements: away,
    });
    expect(report.unchecked).toEqual([
      'movements at ledger after number 0: gone',
      '5 attempts at ledger: gone',
    ]);
    expect([report.passed, report.differences]).toEqual([false, []]);
  });

  test('a list that goes in a circle ends', async () => {
    const site = await filled();
    const movements = async () => site.moved.slice(0, 2);
    const report = await audited(site, undefined, { ...site.backend, movements });
    expect(report.unchecked).toEqual([
      'movements at ledger after number 2: its list is out of order',
    ]);
  });

  test('a backend that is not configured any more', async () => {
    const { stage } = await filled();
    const report = await audit({ store: stage.store, backends: [] });
    expect(report.unchecked).toEqual(['5 attempts at ledger: no such backend is configured']);
    expect([report.passed, report.differences]).toEqual([false, []]);
  });

  test('a store that refuses', async () => {
    const site = await filled();
    const away = () => Promise.reject(new Error('the disk'));
    const store = { ...site.stage.store, evidencePage: away, recount: away, runs: away };
    const report = await audit({ store, backends: [site.backend] });
    expect(report.unchecked).toEqual([
      'the chain of evidence after row 0: the disk',
      'the tables after their beginning: the disk',
      'payments after the beginning: the disk',
    ]);
  });

  test('one without a list is no fault', async () => {
    const site = await filled();
    const report = await audited(site, undefined, site.stage.backend.port);
    expect(report).toMatchObject({ passed: true, backends: [{ name: 'ledger' }] });
    expect(report.backends[0]).not.toHaveProperty('movements');
  });
});

describe('a head that was noted earlier', () => {
  test('is still in a chain that only grew, at its beginning too', async () => {
    const site = await filled();
    const { head } = await audited(site);
    await site.stage.store.note({
      ...{ subject: 'x', kind: 'note', body: Uint8Array.of(1), nowMs: site.stage.clock.nowMs() },
    });
    const later = await audited(site, head);
    expect(later.passed).toBe(true);
    expect(Number(later.head.split(':')[0])).toBe(Number(head.split(':')[0]) + 1);
    const empty = await audit({ store: (await createEmpty()).store, backends: [] });
    expect(empty.head).toMatch(/^0:[0-9a-f]{64}$/);
    expect((await audited(site, empty.head)).passed).toBe(true);
  });

  test('finds a chain that was written anew from the beginning', async () => {
    const site = await filled();
    const { head } = await audited(site);
    const other = await filled(); // Sound in itself, with other salts.
    const report = await audited(other, head);
    const where = `evidence row ${head.split(':')[0]}`;
    expect(named(report)).toEqual([`the link that was noted earlier | ${where}`]);
  });

  test('finds a chain that lost its end', async () => {
    const site = await filled();
    const { head } = await audited(site);
    const number = Number(head.split(':')[0]);
    const { store, database } = site.stage;
    database.exec(`DELETE FROM evidence WHERE number = ${number}`);
    expect(named(await audit({ store, backends: [site.backend] }))).toEqual([]);
    expect(named(await audit({ store, backends: [site.backend] }, head))).toEqual([
      `the link that was noted earlier | evidence row ${number}`,
    ]);
  });

  async function createEmpty() {
    const stage = await createStage();
    stage.database.exec('DELETE FROM evidence');
    return stage;
  }
});

test('the real ledger agrees with the bridge, whatever was lost on the way', async () => {
  const stage = await createStage();
  const { clock, store } = stage;
  const books = openBooks({ database: openDatabase(':memory:'), clock });
  const wallet = CAST.wallet.key.name;
  books.openFunding({ funding: 'acct-1', wallet, balance: yuan(1_000_00n) });
  const unknown: BackendState = { kind: 'unknown', why: 'lost' };
  let lost = 0;
  const run = async (operation: Operation): Promise<BackendAnswer> => {
    const [ran] = books.run([operation]);
    return lost-- > 0 || ran!.answer.kind === 'conflict' ? unknown : ran!.answer;
  };
  const ledger: Backend = {
    ...stage.backend.port,
    authorise: (asked) => run({ action: 'authorise', ...asked }),
    capture: (asked) => run({ action: 'capture', ...asked }),
    void: (asked) => run({ action: 'void', ...asked }),
    refund: (asked) => run({ action: 'refund', ...asked }),
    async query(key) {
      const state = books.query(key);
      return state.kind === 'conflict' ? unknown : state;
    },
    movements: async (after) =>
      books
        .transfers(after, 4)
        .flatMap(({ kind, payment, ...rest }) =>
          kind === 'top_up' ? [] : [{ ...rest, kind, original: payment }],
        ),
  };
  const { capabilities: _same, ...verbs } = ledger;
  Object.assign(stage.backend.port, verbs);
  stage.restart();
  const mandate = await putMandate(store);
  let counter = 0;
  async function ask(changes: Partial<Request>, losing = 0, role: Role = 'glasses') {
    lost = losing;
    const { id, envelope } = await stage.request({ mandate, counter: ++counter, ...changes }, role);
    await stage.deliver(role, 'request', envelope);
    return id;
  }
  const back = { presence: 0 } as const;
  const paid = await ask({ amount: yuan(40_00n) }, 1);
  await stage.time.advance(1_000);
  await ask({ action: 'refund', original: paid, amount: yuan(15_00n), ...back }, 0, 'kiosk');
  const held = await ask({ action: 'hold', amount: yuan(30_00n) });
  await ask({ action: 'capture', original: held, amount: yuan(20_00n), ...back }, 1, 'kiosk');
  await stage.time.advance(1_000);
  const freed = await ask({ action: 'hold', amount: yuan(30_00n) });
  await ask({ action: 'void', original: freed, amount: yuan(30_00n), ...back }, 0, 'kiosk');
  // A hold whose answers are lost is cancelled: the money comes back under the cancel's own key.
  const undone = await ask({ action: 'hold', amount: yuan(7_00n) }, 2);
  const { envelope } = await stage.query({ question: 'cancel', subject: undone });
  await stage.deliver('glasses', 'query', envelope);
  await stage.time.advance(60_000);

  expect(stage.open()).toEqual([]);
  expect((await store.run(undone))?.attempts).toMatchObject([{ state: 'cancelled' }]);
  const report = await audit({ store, backends: [ledger], timers });
  expect(report).toMatchObject({
    ...{ passed: true, differences: [], unchecked: [] },
    backends: [{ name: 'ledger', movements: 9 }],
  });

  // The cancel that was confirmed is not in the books any more: the hold stands.
  const query = async (key: string) =>
    key === cancelKeyOf(undone) ? ({ kind: 'unseen' } as const) : ledger.query(key);
  expect(named(await audit({ store, backends: [{ ...ledger, query }], timers }))).toEqual([
    `money moved at the backend | payment ${undone} at ledger`,
  ]);

  // Somebody pays out of the funding past the bridge.
  const key = 'ee'.repeat(16);
  const past = { key, funding: 'acct-1', payee: 'cafe', amount: yuan(1n), capture: 'now' } as const;
  books.run([{ action: 'authorise', ...past }]);
  expect(named(await audit({ store, backends: [ledger], timers }))).toEqual([
    `movement | ledger, movement 11 (pay under key ${key})`,
  ]);
});

test('what a difference quotes cannot hide or move the cursor', async () => {
  const site = await filled();
  site.stage.database.exec(
    `UPDATE windows SET label = char(27) || '[2J' || char(8238) WHERE label = 'total'`,
  );
  const { differences } = await audited(site);
  expect(differences.map(({ where }) => where).join(' ')).toContain('⟨U+001B⟩[2J⟨U+202E⟩');
  site.moved[5] = { ...site.moved[5]!, original: '\u202e' };
  const found = (await audited(site)).differences.map((one) => one.found);
  expect(found).toContain('⟨U+202E⟩');
  expect(found).not.toContain('\u202e');
});

test('open payments are counted and named, and are no difference', async () => {
  const site = await filled();
  const { stage } = site;
  const mandate = stage.database.prepare('SELECT id FROM mandates').get()!['id'] as string;
  stage.backend.acts.push('unknown');
  stage.backend.query = 'away';
  const { id, envelope } = await stage.request({ mandate, counter: 30 });
  await stage.deliver('glasses', 'request', envelope);
  stage.backend.query = 'sees';
  const report = await audited(site);
  expect(report).toMatchObject({
    passed: true,
    payments: { concluded: 6, open: 1, openIds: [id] },
  });
});

test('a cancel that released a hold belongs to its payment', async () => {
  const site = await filled();
  const { ids, moved } = site;
  const { database } = site.stage;
  // As after a hold whose answer was lost and that was undone: refused, its attempt cancelled.
  const key = cancelKeyOf(ids.declined);
  const of = { original: ids.declined, amount: yuan(1_00n), atMs: 0 };
  moved.push({ number: 90, key, kind: 'release', ...of });
  expect(named(await audited(site))).toEqual([]);
  moved[moved.length - 1] = { number: 90, key, kind: 'release', ...of, amount: yuan(2_00n) };
  expect(named(await audited(site))).toEqual([
    `amount of a cancel | ledger, movement 90 (release under key ${key})`,
  ]);
  // Forgotten runs are known by their request in the chain, and their cancels with them.
  database.exec(`DELETE FROM runs WHERE id = '${ids.declined}'`);
  expect(named(await audited(site))).toEqual([]);
});

test('what forgets leaves nothing to differ', async () => {
  const site = await filled();
  await site.stage.store.forget(site.stage.clock.nowMs() + DAY_MS);
  const report = await audited(site);
  expect(report).toMatchObject({ passed: true, payments: { concluded: 0, open: 0 } });
});

test('more than is listed is still counted', async () => {
  const site = await filled();
  for (let i = 0; i < AUDIT_LISTED_MAX + 7; i++) {
    const key = i.toString(16).padStart(32, '0');
    site.moved.push({ ...site.moved[1]!, number: 90 + i, key, original: key });
  }
  const { differences, more } = await audited(site);
  expect([differences.length, more]).toEqual([AUDIT_LISTED_MAX, 7]);
});

test('payments go on between two pages', async () => {
  const { stage } = await filled();
  const { store } = stage;
  const nowMs = stage.clock.nowMs();
  for (let i = 0; i < AUDIT_PAGE_ROWS; i++) {
    await store.note({ subject: 'x', kind: 'note', body: Uint8Array.of(1), nowMs });
  }
  let turns = 0;
  const soon = (run: () => void) => {
    turns++;
    timers.soon(run);
  };
  await audit({ store, backends: [], timers: { ...timers, soon } });
  // Two pages of the chain, two of mandates and runs, one of payments.
  expect(turns).toBeGreaterThanOrEqual(4);
});
