/**
 * Dispute files about payments that a real bridge made, and about what somebody changed afterwards.
 *
 * Method: a payment is told as text and the lines that decide a dispute are looked for; then one
 * thing is changed by hand and the file must say so. That no value can become markup, or hide, is
 * shown by drawing files whose every value is arbitrary.
 */
import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Backend, BackendAnswer } from '../../broker/backends/port.ts';
import type { Dispute } from '../../broker/dispute/dispute.ts';
import { columnsOf, visible } from '../../broker/dispute/glyphs.ts';
import { pageOf } from '../../broker/dispute/page.ts';
import { appendixOf, sheetOf } from '../../broker/dispute/sheet.ts';
import { disputeFile } from '../../broker/evidence.ts';
import { toHex, utf8 } from '../../src/bytes.ts';
import { PaymentError } from '../../src/errors.ts';
import { payloadOf } from '../../src/cose.ts';
import { verify } from '../../src/inspect.ts';
import { loadKey } from '../../src/keys.ts';
import type { KindName } from '../../src/objects/kinds.ts';
import { publicPem, readPublicPem } from '../../src/signer.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Request } from '../../src/objects/request.ts';
import { grantText, signMandate } from '../../src/wallet.ts';
import {
  CAST,
  PAYER,
  REALM,
  type Role,
  type Stage,
  createStage,
  decided,
  mandateOf,
  putMandate,
  statementOf,
} from './stage.ts';

const COLUMNS = 96;
const DAY_MS = 86_400_000;
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

/** A stage with a mandate, and the ways in which things are asked there. */
async function site(changes: Partial<Mandate> = {}) {
  const stage = await createStage({ isSecond: true });
  const mandate = await putMandate(stage.store, changes);
  const counters: Record<string, number> = {};
  async function ask(asked: Partial<Request>, role: Role = 'glasses'): Promise<string> {
    const counter = (counters[role] = (counters[role] ?? 0) + 1);
    const { id, envelope } = await stage.request({ mandate, counter, ...asked }, role);
    await stage.deliver(role, 'request', envelope);
    return id;
  }
  async function order(asked: Partial<Order> = {}): Promise<string> {
    const exp = Math.floor(stage.clock.nowMs() / 1000) + 600;
    const { id, envelope } = await stage.order({ exp, ...asked });
    await stage.deliver('kiosk', 'order', envelope);
    return id;
  }
  const text = (id: string, form: 'text' | 'html' = 'text') =>
    fileAt(stage, id, form).then((file) => file.text);
  return { stage, mandate, ask, order, text };
}
type Site = Awaited<ReturnType<typeof site>>;

async function fileAt(stage: Stage, id: string, form: 'text' | 'html' = 'text') {
  const { store, clock } = stage;
  const root = CAST.root.key;
  return disputeFile({ realm: REALM, store, clock, root }, id, form);
}

const statedKey = (envelope: Uint8Array) => keyStatement.decode(payloadOf(envelope)).key;

/** The text with every run of blanks as one, so that lines may break anywhere. */
const flat = (text: string) => text.replace(/\s+/g, ' ');

/** Makes the backend of a stage say these bytes with each answer. */
function answering(stage: Stage, received: Uint8Array): void {
  const port = stage.backend.port as { -readonly [K in keyof Backend]: Backend[K] };
  const { authorise } = port;
  port.authorise = async (call) => {
    const answer: BackendAnswer = await authorise(call);
    return answer.kind === 'unsent' ? answer : { ...answer, received };
  };
  stage.restart();
}

describe('a payment is told', () => {
  test('from the payer’s words to what was paid back, by its own id or its order’s', async () => {
    const { stage, ask, order, text, mandate } = await site();
    answering(stage, utf8('{"kind":"done",\n "outcome":"captured"}'));
    const basket = await order();
    const paid = await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
    const refund = await ask(
      { action: 'refund', original: basket, amount: yuan(15_00n), presence: 0 },
      'kiosk',
    );
    const file = await text(paid);
    const told = flat(file);
    const key = (role: Role) => CAST[role].key.name.slice(0, 32);
    for (const line of [
      'Paid: 40.00 yuan (CNY), 15.00 yuan (CNY) refunded · “cafe”',
      `Payment ${paid} Order ${basket} Began 2026-10-14 04:00:00 UTC Ended 2026-10-14 04:00:00`,
      'THESE ROWS HOLD 18 of 18 checks hold',
      'holds the 16 rows have their digests and links',
      `Root key ${CAST.root.key.name} Mandate ${mandate}`,
      `Signed by wallet key ${key('wallet')} of payer ${toHex(PAYER)}, as the root states`,
      `To the key ${CAST.glasses.key.name}`,
      'At most 1000.00 yuan and 100 times in all.',
      'another text was shown',
      'Shown to people as en: “cafe”',
      `The name is from terminal key ${key('kiosk')} of kiosk, as the root states`,
      'Order lines 2 × “Latte” 40.00 yuan (CNY) Order total 40.00 yuan (CNY)',
      `Signed by device key ${key('glasses')} of glasses, as the root states`,
      'Presence claimed P2 (a physical act on the device)',
      'Presence counted P2 (a physical act on the device)',
      'Channel voice Transcript none at this level of presence',
      'Device glasses asks: pay 40.00 yuan (CNY)',
      `40.00 yuan (CNY) of window 1 of mandate ${mandate.slice(0, 8)} (in all: at most 1000.00`,
      'The risk check lets it go on, score 10; the bridge calls ledger to authorise',
      `Operation authorise Idempotency key ${paid}`,
      'Ledger: captured Attempt 1 at ledger Heard as its answer to the call State done',
      'Received, 38 bytes, as text {"kind":"done", "outcome":"captured"}',
      'The bridge signs the receipt: captured',
      'Windows left window 1: 960.00 yuan (CNY) and 99 payments',
      `refund ${refund.slice(0, 8)}: Terminal kiosk asks: refund 15.00 yuan (CNY)`,
      'Risk is not asked',
      `Paid to the payee 40.00 yuan (CNY) (${paid.slice(0, 8)})`,
      `Refunded to the payer 15.00 yuan (CNY) (${refund.slice(0, 8)})`,
      'Paid in the end 25.00 yuan (CNY)',
      'holds the copy of terminal kiosk: signature, order and outcome',
    ]) {
      expect(told).toContain(line);
    }
    expect(await text(basket)).toBe(file);
    const lines = file.split('\n');
    expect(Math.max(...lines.map(columnsOf))).toBeLessThanOrEqual(COLUMNS);

    const rows = (await stage.store.evidencePage(0, 100)).filter(({ kind }) => kind !== 'key');
    expect(rows).toHaveLength(12);
    for (const { number, digest, link } of rows) {
      expect(told).toContain(`Row of the chain ${number}`);
      expect(told).toContain(`digest ${toHex(digest)} link ${toHex(link)}`);
    }

    const back = flat(await text(refund));
    for (const line of [
      'Refunded: 15.00 yuan (CNY) · “cafe”',
      `Acts on ${basket}`,
      `pay ${paid.slice(0, 8)}: Device glasses asks: pay 40.00 yuan (CNY)`,
      'Terminal kiosk registers an order of 40.00 yuan (CNY)',
      '2 × “Latte” 40.00 yuan (CNY)',
      `Mandate ${mandate}`,
      'Paid in the end 25.00 yuan (CNY)',
    ]) {
      expect(back).toContain(line);
    }
    expect(back).not.toContain('NOT HOLD');
  });

  test('with exactly the words that the payer was shown, in the language of then', async () => {
    for (const language of ['en', 'zh'] as const) {
      const { stage, ask, text } = await site();
      const { textDigest: _none, ...grant } = mandateOf();
      const shown = grantText(grant, language, () => 'cafe');
      const { id, envelope, mandate } = await signMandate(grant, shown, REALM, CAST.wallet);
      const payer = toHex(PAYER);
      const { name } = CAST.wallet.key;
      await stage.store.putMandate(
        ...([id, mandate, name, payer, ['ledger'], envelope, stage.clock.nowMs()] as const),
      );
      const told = flat(await text(await ask({ mandate: id })));
      expect(told).toContain(flat(shown));
      expect(told).toContain(`exactly these words: their digest ${toHex(mandate.textDigest)}`);
    }
  });

  const cases: readonly (readonly [
    why: string,
    play: (site: Site) => Promise<string>,
    lines: readonly string[],
  ])[] = [
    [
      'refused by a limit',
      ({ ask }) => ask({ amount: yuan(300_00n), presence: 2 }),
      [
        'Refused, nothing moved: pay 300.00 yuan (CNY) · “cafe”',
        'The bridge refuses: limit_per_payment',
        'Presence counted nothing, it was refused',
        'Nothing: pay refused 300.00 yuan (CNY)',
        'Paid in the end 0.00 yuan (CNY)',
        'Reason 113 limit_per_payment (final)',
      ],
    ],
    [
      'under a mandate that nobody knows',
      ({ ask }) => ask({ mandate: 'aa'.repeat(16) }),
      ['Refused, nothing moved: pay', 'Mandate none is known here', 'mandate_unknown'],
    ],
    [
      'denied by risk, with its reasons',
      ({ ask, stage }) => {
        stage.risk.answers.push(decided('deny', 900, ['VELOCITY_1H', 'ANOTHER']));
        return ask({});
      },
      [
        'The risk check ends it: risk_denied',
        'Score 900 Reasons VELOCITY_1H: many payments, or an unusual sum, of this payer within ' +
          'an hour ANOTHER',
      ],
    ],
    [
      'declined by the backend',
      ({ ask, stage }) => {
        stage.backend.acts.push('declined');
        return ask({});
      },
      ['Ledger: declined', 'Reason 127 backend_declined (final)', 'receipt: refused, backend_decl'],
    ],
    [
      'cancelled while the backend was silent, then paid at none',
      async ({ ask, stage }) => {
        stage.backend.acts.push('unknown', 'unknown');
        const id = await ask({});
        const { envelope } = await stage.query({ question: 'cancel', subject: id });
        await stage.deliver('glasses', 'query', envelope);
        await stage.time.advance(60_000);
        return id;
      },
      [
        'Ledger: no definite word',
        'Device glasses asks to cancel',
        'Ledger: given up, cancelling',
        'Heard as no definite word for too long, or the person asked to cancel',
        'Ledger: undone, nothing moved',
        'Heard as its answer to the cancel',
      ],
    ],
    [
      'not decided yet',
      async ({ ask, stage }) => {
        stage.backend.acts.push(...Array<'unknown'>(200).fill('unknown'));
        stage.backend.query = 'away';
        return ask({});
      },
      [
        'Not decided yet: pay 10.00 yuan (CNY) · “cafe”',
        'Waits for ledger, attempt 1: unknown',
        'Nothing: pay not decided yet',
      ],
    ],
    [
      'decided by a person',
      async ({ ask, stage }) => {
        stage.backend.acts.push(...Array<'unknown'>(5000).fill('unknown'));
        stage.backend.query = 'away';
        const id = await ask({});
        await stage.time.advance(300_000);
        await stage.time.leap(8 * DAY_MS);
        await stage.time.advance(60_000);
        const why = 'the statement of 21 October has it';
        await stage.bridge().resolve(id, { outcome: 'captured', by: 'Ada', why });
        await stage.time.advance(1_000);
        return id;
      },
      [
        'Ledger: waits for a person',
        'Ada says of ledger: captured',
        'Heard as the word of a person State done Reference person:Ada Who Ada Why the statement',
        'Paid: 10.00 yuan (CNY)',
      ],
    ],
    [
      'a hold, captured in part',
      async ({ ask }) => {
        const id = await ask({ action: 'hold', amount: yuan(30_00n) });
        const took = { original: id, amount: yuan(20_00n), presence: 0 } as const;
        await ask({ action: 'capture', ...took }, 'kiosk');
        return id;
      },
      [
        'Held: 30.00 yuan (CNY), 20.00 yuan (CNY) paid out of it · ',
        'Held, not yet paid 30.00 yuan (CNY)',
        'Paid to the payee out of the hold 20.00 yuan (CNY)',
        'Paid in the end 20.00 yuan (CNY)',
      ],
    ],
    [
      'a hold, released',
      async ({ ask }) => {
        const id = await ask({ action: 'hold', amount: yuan(30_00n) });
        return ask({ action: 'void', original: id, amount: yuan(30_00n), presence: 0 }, 'kiosk');
      },
      [
        'Released: 30.00 yuan (CNY)',
        'Released to the payer 30.00 yuan (CNY)',
        'Paid in the end 0.00 yuan (CNY)',
      ],
    ],
    [
      'let in, where no money is',
      ({ ask, stage: _ }) => ask({ action: 'access', amount: undefined as never }),
      ['Let in · “cafe”', 'Device glasses asks: access'],
    ],
    [
      'cancelled before it came',
      async ({ stage }) => {
        const subject = '77'.repeat(16);
        const { id, envelope } = await stage.query({ question: 'cancel', subject });
        await stage.deliver('glasses', 'query', envelope);
        return id;
      },
      [
        'Cancelled before it came: not charged',
        `Asks to cancel ${'77'.repeat(16)}`,
        'Device glasses asks to cancel',
        'The bridge signs the receipt: refused, cancelled',
      ],
    ],
    [
      'cancelled before it came, and it came',
      async ({ stage, mandate }) => {
        const { id, envelope } = await stage.request({ mandate, counter: 1 });
        const question = await stage.query({ question: 'cancel', subject: id });
        await stage.deliver('glasses', 'query', question.envelope);
        await stage.deliver('glasses', 'request', envelope);
        return id;
      },
      [
        'Refused, nothing moved: pay 10.00 yuan (CNY) · “cafe”',
        'it was cancelled before it came',
        'The bridge signs the receipt: refused, cancelled',
      ],
    ],
    [
      'an order that nobody paid',
      ({ order }) => order(),
      ['Order of 40.00 yuan (CNY), not paid here', '2 × “Latte” 40.00 yuan (CNY)'],
    ],
    [
      'moved at the second backend after the first was never reached',
      async ({ stage, ask }) => {
        const { name } = CAST.wallet.key;
        const grant = mandateOf({ epoch: 2 });
        const { textDigest: _none, ...rest } = grant;
        const { id, envelope, mandate } = await signMandate(rest, 'x', REALM, CAST.wallet);
        const both = ['ledger', 'other'];
        await stage.store.putMandate(
          ...([id, mandate, name, toHex(PAYER), both, envelope, stage.clock.nowMs()] as const),
        );
        stage.backend.acts.push(...Array<'unsent'>(200).fill('unsent'));
        const asked = await ask({ mandate: id });
        await stage.time.advance(60_000);
        return asked;
      },
      [
        'Ledger: never reached, nothing was sent',
        'The bridge calls other to authorise',
        'Other: captured Attempt 2 at other',
        'Paid: 10.00 yuan (CNY)',
      ],
    ],
  ];
  test.each(cases)('%s', async (_why, play, lines) => {
    const played = await site();
    const told = flat(await played.text(await play(played)));
    for (const line of lines) expect(told).toContain(line);
    expect(told).toContain('THESE ROWS HOLD');
    expect(told).not.toContain('NOT HOLD');
  });

  test('a stranger who names the id afterwards changes nothing about how it ended', async () => {
    const { stage, ask, text } = await site();
    const id = await ask({});
    const { envelope } = await stage.query({ question: 'cancel', subject: id }, 'guest');
    const before = await text(id);
    await stage.deliver('guest', 'query', envelope);
    expect(await text(id)).toBe(before);
    // Also when the table has forgotten the payment.
    await stage.store.forget(stage.clock.nowMs() + DAY_MS);
    const question = await stage.query({ question: 'cancel', subject: id }, 'guest');
    await stage.deliver('guest', 'query', question.envelope);
    const later = flat(await text(id));
    expect(later).toContain('Paid: 10.00 yuan (CNY)');
    expect(later).not.toContain('asks to cancel');
    expect(later).not.toContain('NOT HOLD');
  });

  test('an id that was cancelled and never came is known by the question alone', async () => {
    const { stage, text } = await site();
    const subject = '77'.repeat(16);
    const { id, envelope } = await stage.query({ question: 'cancel', subject });
    await stage.deliver('glasses', 'query', envelope);
    await expect(text(subject)).rejects.toMatchObject({ reason: 'original_unknown' });
    expect(flat(await text(id))).toContain(`Question ${id} Asks to cancel ${subject}`);
    // Somebody moves the row under another id: it is about neither.
    const other = '55'.repeat(16);
    stage.database.exec(`UPDATE evidence SET subject = '${other}' WHERE subject = '${id}'`);
    expect(flat(await text(other))).toContain(`it is about ${subject}`);
  });

  test('an id that is nobody’s is refused with its code', async () => {
    const { text } = await site();
    const error = await text('12'.repeat(16)).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(PaymentError);
    expect((error as PaymentError).reason).toBe('original_unknown');
  });

  test('without the root it says that the keys were not checked against it', async () => {
    const { stage, ask } = await site();
    const id = await ask({});
    const { store, clock } = stage;
    const told = flat((await disputeFile({ realm: REALM, store, clock }, id, 'text')).text);
    expect(told).toMatch(/THESE ROWS HOLD \d+ of \d+ checks hold, 3 could not be made/);
    expect(told).toContain('its statement was not checked against the root');
    expect(told).toMatch(/not made the root states wallet key \w{64}: the root was not at hand/);
  });

  test.each([
    [[0x41, 0x00, 0x1b], '41001b', 'a control character'],
    [[0x41, 0xff], '41ff', 'no UTF-8'],
  ])('bytes %j that nobody can read are told as hex (%s, %s)', async (bytes, hex, _why) => {
    const { stage, ask, text } = await site();
    answering(stage, Uint8Array.from(bytes));
    const told = flat(await text(await ask({})));
    expect(told).toContain(`Received, ${bytes.length} bytes, as hex ${hex}`);
  });
});

test('what was erased is told as erased, by whom, and the chain still holds', async () => {
  const { stage, ask, text } = await site({ exp: Math.floor(stage0() / 1000) + 300 * 86_400 });
  const id = await ask({});
  await stage.time.leap(40 * DAY_MS);
  const nowMs = stage.clock.nowMs();
  const beforeMs = nowMs - 35 * DAY_MS;
  expect(await stage.store.erase({ payer: undefined, beforeMs, by: 'Ada', nowMs })).toBe(5);
  const file = await text(id);
  const told = flat(file);
  for (const line of [
    'The contents were erased',
    'Erased 5 of 5 rows have no contents any more',
    'Erasures 2026-11-23 04:00:00 UTC by Ada: what was before 2026-10-19 04:00:00 UTC',
    'Erased: the signed request; only its digest is left',
    'Erased: a receipt; only its digest is left',
    'THESE ROWS HOLD',
    'request holds, erased',
  ]) {
    expect(told).toContain(line);
  }
  expect(told).not.toContain('NOT HOLD');
  stage.database.exec(`DELETE FROM evidence WHERE subject = 'erasure'`);
  expect(flat(await text(id))).toContain('no record of an erasure: somebody deleted them');
});

function stage0(): number {
  return Date.UTC(2026, 9, 14, 4);
}

test('a refund is told under the mandate of its payment, and its refusal in money', async () => {
  const { ask, order, text, mandate } = await site();
  const basket = await order();
  await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
  const back = { action: 'refund', original: basket, mandate: basket, presence: 0 } as const;
  await ask({ ...back, amount: yuan(25_00n) }, 'kiosk');
  const told = flat(await text(await ask({ ...back, amount: yuan(16_00n) }, 'kiosk')));
  expect(told).toContain('15.00 yuan (CNY) are left');
  expect(told.match(/Under mandate \w+/g)).toEqual(Array(3).fill(`Under mandate ${mandate}`));
  expect(told).not.toMatch(/minor units/);
});

describe('a third party proves a file again from its own words', () => {
  const sha = (...parts: readonly Uint8Array[]) => hash('sha256', Buffer.concat(parts), 'hex');
  const bytesOf = (hex: string) => Buffer.from(hex, 'hex');

  /** Names and values of each row of an appendix, with the bytes as one. */
  function rowsOf(appendix: string): readonly Readonly<Record<string, string>>[] {
    return appendix.split('\n\n').flatMap((block) => {
      const row: Record<string, string> = {};
      let name = '';
      for (const line of block.split('\n')) {
        const [, begun, value] = /^ {4}(.{24})(.*)$/.exec(line) ?? [];
        if (begun === undefined || value === undefined) continue;
        name = begun.trim() || name;
        row[name] = (row[name] ?? '') + value;
      }
      return row['Bytes'] === undefined ? [] : [row];
    });
  }

  /** A payment by an order, refunded in part, with a row between that the file does not tell. */
  async function appendix() {
    const { stage, ask, order } = await site();
    const basket = await order();
    const paid = await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
    await putMandate(stage.store, { epoch: 9 });
    await ask({ action: 'refund', original: basket, amount: yuan(15_00n), presence: 0 }, 'kiosk');
    const file = await fileAt(stage, paid);
    return { stage, paid, ...file };
  }

  test('digests, links from the link before each run, and signatures up to the root', async () => {
    const file = await appendix();
    const rows = rowsOf(file.appendix);
    const chained = rows.filter((row) => row['Number'] !== undefined);
    const links = new Map<number, string>([[0, sha(utf8('saytap/1 evidence'))]]);
    for (const row of chained) {
      const number = Number(row['Number']);
      expect(row['Digest']).toBe(sha(bytesOf(row['Salt']!), bytesOf(row['Bytes']!)));
      const head = [number, row['Time in ms'], row['Subject'], row['Kind']].join('\n') + '\n';
      const before = row[`Link of row ${number - 1}`] ?? links.get(number - 1);
      expect(row['Link']).toBe(sha(bytesOf(before!), utf8(head), bytesOf(row['Digest']!)));
      links.set(number, row['Link']!);
    }
    const runs = chained.filter((row) => !links.has(Number(row['Number']) - 1));
    expect(runs.length).toBeGreaterThan(0);

    const pem = /-----BEGIN PUBLIC KEY-----[^]*?-----END PUBLIC KEY-----/.exec(file.appendix)![0];
    const root = readPublicPem(pem.replace(/^ +/gm, ''));
    const verified = rows.filter((row) => row['Verify as'] !== undefined);
    expect(new Set(verified.map((row) => row['Verify as']!.slice('--kind '.length)))).toEqual(
      new Set(['key', 'mandate', 'order', 'request', 'receipt']),
    );
    for (const row of verified) {
      const kind = row['Verify as']!.slice('--kind '.length) as KindName;
      const statement = rows.find(
        (one) => one['Kind'] === 'key' && one['Subject'] === row['Signed by'],
      );
      const key = kind === 'key' ? root : loadKey(statedKey(bytesOf(statement!['Bytes']!)));
      expect(verify(bytesOf(row['Bytes']!), kind, REALM, key).key).toBe(key.name);
    }
    expect(file.appendix).toContain('--env sim');
    const width = Math.max(...file.appendix.split('\n').map(columnsOf));
    expect(width).toBeLessThanOrEqual(COLUMNS);
  });

  test('the page has the same bytes, folded away', async () => {
    const { stage, paid, appendix: told } = await appendix();
    const page = (await fileAt(stage, paid, 'html')).text;
    const folded = page.slice(page.lastIndexOf('<details>'));
    const words = folded.replace(/<[^>]*>/g, '').replace(/\s/g, '');
    for (const row of rowsOf(told)) {
      for (const name of ['Salt', 'Bytes', 'Digest', 'Link', 'Signed by']) {
        expect(words).toContain(row[name] ?? '');
      }
    }
    expect(words).toContain(publicPem(CAST.root.key).replace(/\s/g, ''));
    expect(words).toContain('Digest=SHA-256(salt‖bytes)');
  });
});

describe('what somebody changed is told', () => {
  const cases: readonly (readonly [why: string, sql: string, lines: readonly string[]])[] = [
    [
      'the contents of a row',
      `UPDATE evidence SET body = CAST('{"kind":"allow","score":1,"reasons":[]}' AS BLOB)
         WHERE kind = 'decision'`,
      [
        'ROW N (decision about payment ID) DOES NOT HOLD 15 of 16 checks hold, 1 DOES NOT HOLD ',
        'DOES NOT HOLD row N (decision about payment ID) is as it was written: its contents are',
        'decision BROKEN',
      ],
    ],
    [
      'a row that is no JSON any more',
      `UPDATE evidence SET body = x'ff' WHERE kind = 'decision'`,
      ['ROW N (decision about payment ID) DOES NOT', 'A row of kind decision that cannot be read'],
    ],
    [
      'a time beyond every calendar',
      `UPDATE evidence SET at_ms = 9000000000000000 WHERE kind = 'decision'`,
      ['ROW N (decision about payment ID) DOES NOT', '9000000000000000 ms'],
    ],
    [
      'a row before that is gone',
      `DELETE FROM evidence WHERE kind = 'order'`,
      ['ROW N (request about payment ID) DOES NOT HOLD', 'request BROKEN', 'row N is missing'],
    ],
    [
      'a receipt that another payment had',
      `UPDATE runs SET receipt = terminal_receipt WHERE terminal_receipt IS NOT NULL`,
      ['DOES NOT HOLD the receipt that the device is given is the one in the chain'],
    ],
    [
      'an outcome in the table',
      `UPDATE runs SET outcome = 'voided'`,
      ['DOES NOT HOLD the table has the outcome of the receipt'],
    ],
    [
      'the copy of the terminal',
      `UPDATE runs SET terminal_receipt = receipt`,
      ['DOES NOT HOLD the copy of terminal kiosk: signature, order and outcome'],
    ],
    [
      'the signed request, by one byte',
      `UPDATE evidence SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)
         WHERE kind = 'request'`,
      [
        'ROW N (request about payment ID) DOES NOT',
        'signature of the request: the signature does not hold',
      ],
    ],
    [
      'the signed request, by another one of the same key',
      `UPDATE evidence SET subject = (SELECT id FROM orders) WHERE kind = 'receipt'`,
      ['is about', '(receipt about', 'DOES NOT HOLD'],
    ],
    [
      'the link of a row, which no other row is blamed for',
      `UPDATE evidence SET link = digest WHERE kind = 'verdict'`,
      [
        'ROW N (verdict about payment ID) DOES NOT HOLD 15 of 16 checks hold, 1 DOES NOT HOLD',
        'its link is not what follows from row N',
      ],
    ],
    [
      'the digest of a row',
      `UPDATE evidence SET digest = link WHERE kind = 'verdict'`,
      ['ROW N (verdict about payment ID) DOES NOT HOLD 15 of 16 checks hold, 1 DOES NOT'],
    ],
    [
      'the row after the last that is told',
      `UPDATE evidence SET link = digest WHERE number = (SELECT max(number) FROM evidence)`,
      ['ROW N (receipt about ID) DOES NOT HOLD', 'row N does not follow from it'],
    ],
  ];
  test.each(cases)('%s', async (_why, sql, lines) => {
    const { stage, ask, order, text } = await site();
    const basket = await order();
    const id = await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
    expect(await text(id)).not.toContain('NOT HOLD');
    // A row that the file does not tell.
    await putMandate(stage.store, { epoch: 9 });
    stage.database.exec(sql);
    const file = await fileAt(stage, id);
    const told = flat(file.text)
      .replaceAll(id, 'ID')
      .replace(/\b(row) [0-9]+/gi, '$1 N');
    for (const line of lines) expect(told).toContain(line);
    // What is told beside it never says the opposite.
    expect(file.failed.length).toBeGreaterThan(0);
    expect(told).toMatch(/checks hold, [0-9]+ DO(ES)? NOT HOLD/);
    const page = (await fileAt(stage, id, 'html')).text;
    expect(page).toContain('<header class="bad">');
    expect(flat(page).includes('these rows hold<')).toBe(told.includes('THESE ROWS HOLD'));
  });

  test('a key that the root never stated', async () => {
    const { stage, ask, text } = await site();
    const id = await ask({});
    const forged = await seal(keyStatement, statementOf('glasses'), REALM, CAST.stranger);
    stage.database
      .prepare(`UPDATE evidence SET body = ? WHERE kind = 'key' AND subject = ?`)
      .run(forged, CAST.glasses.key.name);
    const told = flat(await text(id));
    expect(told).toContain('WHICH THE ROOT DOES NOT STATE');
    expect(told).toContain(`DOES NOT HOLD the root states device key ${CAST.glasses.key.name}`);
  });

  test('a mandate that names another key', async () => {
    const { stage, ask, text } = await site();
    const id = await ask({});
    const other = await putMandate(stage.store, { cnf: CAST.agent.key.name, epoch: 2 });
    stage.database.exec(
      `UPDATE mandates SET envelope = (SELECT envelope FROM mandates WHERE id = '${other}')`,
    );
    expect(flat(await text(id))).toContain(
      'DOES NOT HOLD the mandate names the key that signed the request',
    );
  });
});

describe('hostile values', () => {
  const HOSTILE = `<script>alert(1)</script>"'\`&amp;<img src=x onerror=alert(1)>`;
  const HIDDEN = '\u202egnp.exe\u0000\u001b[31m\u200b\u2028\u00a0\ufeff\u3164';

  test('in a name, an order and an answer stay text', async () => {
    const { stage, ask, order, text } = await site();
    const statement = statementOf('kiosk', { names: [['en', HOSTILE.slice(0, 60)]] });
    const envelope = await seal(keyStatement, statement, REALM, CAST.root);
    const { name } = CAST.kiosk.key;
    await stage.store.putIdentity(name, statement, envelope, stage.clock.nowMs());
    answering(stage, utf8(`${HOSTILE}\n\u202e</dd>`));
    const lines = [{ text: HOSTILE, quantity: 1, total: 40_00n }];
    const basket = await order({ lines });
    const id = await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
    const page = await text(id, 'html');
    expect(page).not.toMatch(/<script|<img|onerror=alert\(1\)>|\u202e/);
    expect(page).toContain('&#60;script&#62;alert(1)&#60;/script&#62;');
    expect(page).toContain('⟨U+202E⟩&#60;/dd&#62;');
    const sheet = await text(id);
    expect(flat(sheet)).toContain('1 × “<script>alert(1)</script>');
    expect(sheet).toContain('⟨U+202E⟩</dd>');
  });

  /** A file whose every value comes from `value`. */
  const disputeWith = (value: () => string): Dispute => {
    const fact = () => ({ name: value(), lines: [value(), value()] });
    const raw = () => ({ ...fact(), isRaw: true as const });
    const event = { atMs: 0, number: 1, icon: 'bank', tone: 'good' } as const;
    const place = { number: 1, atMs: 0 } as const;
    const row = () => ({
      // A kind that holds a signed object is told with one line more: "key" is a word fast-check
      // likes.
      ...{ subject: value(), kind: `${value()}?`, digest: value(), link: value() },
      ...{ previous: value(), salt: value(), bytes: value(), signer: value() },
    });
    return {
      id: value(),
      realm: { environment: 'sim', ledger: value() },
      writtenMs: 0,
      headline: value(),
      tone: 'good',
      summary: [fact(), raw()],
      sections: [{ title: 'Section', facts: [fact()] }],
      happenings: [{ ...event, title: value(), facts: [fact(), raw()] }],
      money: [fact()],
      checks: [
        { what: value(), holds: true },
        { what: value(), holds: false, why: value() },
        { what: value(), holds: undefined, why: value() },
      ],
      copies: [{ what: value(), kind: value(), signer: value(), bytes: value() }],
      root: { name: value(), pem: [value(), value()] },
      places: [
        { ...place, ...row(), faults: [], state: 'holds' },
        { ...place, ...row(), faults: [value()], state: 'broken' },
      ],
    };
  };

  const ANY = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.constantFrom(HOSTILE, HIDDEN, '</style>', '-->', ']]>', '${x}', '&#60;', ' '.repeat(200)),
    fc.string({
      unit: fc.constantFrom('<', '>', '"', "'", '&', '/', 'a', '=', '\n', '中'),
      maxLength: 300,
    }),
  );

  test('never change what the page is made of, and never hide in it', () => {
    const tagsOf = (page: string) => page.match(/<[^>]*>/g);
    const plain = tagsOf(pageOf(disputeWith(() => 'x')));
    fc.assert(
      fc.property(fc.infiniteStream(ANY), (stream) => {
        const page = pageOf(disputeWith(() => stream.next().value as string));
        expect(tagsOf(page)).toEqual(plain);
        expect(page.replaceAll('\n', '')).toBe(visible(page.replaceAll('\n', '')));
      }),
      { numRuns: 200 },
    );
  });

  test('never leave their columns in the text, and never hide in it', () => {
    fc.assert(
      fc.property(fc.infiniteStream(ANY), (stream) => {
        const dispute = disputeWith(() => stream.next().value as string);
        const sheet = sheetOf(dispute) + appendixOf(dispute);
        const lines = sheet.split('\n');
        expect(Math.max(...lines.map(columnsOf))).toBeLessThanOrEqual(COLUMNS);
        for (const line of lines) expect(line).toBe(visible(line));
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['\u202e', '⟨U+202E⟩', 'turns the text around'],
    ['\u2066', '⟨U+2066⟩', 'isolates'],
    ['\u200d', '⟨U+200D⟩', 'joins'],
    ['\u3164', '⟨U+3164⟩', 'a letter without picture'],
    ['\u2800', '⟨U+2800⟩', 'a pattern without dots'],
    ['\u00a0', '⟨U+00A0⟩', 'a space that is none'],
    ['\n', '⟨U+000A⟩', 'a line of its own'],
    ['\u001b[2J', '⟨U+001B⟩[2J', 'a command to the terminal'],
    ['\ud800', '⟨U+D800⟩', 'half a character'],
    ['\u{e0041}', '⟨U+E0041⟩', 'a tag character'],
    ['\ufe0f', '⟨U+FE0F⟩', 'a variation selector'],
    ['漢字 Ünï 🙂', '漢字 Ünï 🙂', 'what can be seen'],
  ])('%j is drawn as %s (%s)', (from, to, _why) => {
    expect(visible(from)).toBe(to);
  });
});

test('the page stands alone: no script, nothing from elsewhere, also on paper', async () => {
  const { ask, text } = await site();
  const page = await text(await ask({}), 'html');
  expect(page.startsWith('<!doctype html>')).toBe(true);
  expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  expect(page).not.toMatch(/<script|<link|<iframe|src=|href=|url\(|@import|https?:/);
  expect(page).toContain('prefers-color-scheme:dark');
  expect(page).toContain('@media print');
  expect(page).toMatch(/these\s+rows\s+hold</);
  expect(page.match(/<li class="(good|bad|plain|waiting)">\s*<span class="dot">/g)).toHaveLength(6);
  expect(page).toContain('<span>Paid in the end</span>');
});
