/**
 * Dispute files about payments that a real bridge made, and about what somebody changed afterwards.
 *
 * Method: a payment is told as text and the lines that decide a dispute are looked for; then one
 * thing is changed by hand and the file must say so. That no value can become markup, or hide, is
 * shown by drawing files whose every value is arbitrary.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Backend, BackendAnswer } from '../../broker/backends/port.ts';
import type { Dispute } from '../../broker/dispute/dispute.ts';
import { columnsOf, visible } from '../../broker/dispute/glyphs.ts';
import { pageOf } from '../../broker/dispute/page.ts';
import { sheetOf } from '../../broker/dispute/sheet.ts';
import { disputeFile } from '../../broker/evidence.ts';
import { toHex, utf8 } from '../../src/bytes.ts';
import { PaymentError } from '../../src/errors.ts';
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
  const text = (id: string, form: 'text' | 'html' = 'text') => fileOf(stage, id, form);
  return { stage, mandate, ask, order, text };
}
type Site = Awaited<ReturnType<typeof site>>;

async function fileOf(stage: Stage, id: string, form: 'text' | 'html' = 'text') {
  const { store, clock } = stage;
  const root = CAST.root.key;
  return (await disputeFile({ realm: REALM, store, clock, root }, id, form)).text;
}

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
      'Paid: 40.00 yuan (CNY) · “cafe”',
      `Payment ${paid} Order ${basket} Began 2026-10-14 04:00:00 UTC Ended 2026-10-14 04:00:00`,
      'CHAIN HOLDS · 17 of 17 checks hold',
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
        stage.risk.answers.push(decided('deny', 900, ['VELOCITY', 'NEW_PAYEE']));
        return ask({});
      },
      [
        'The risk check ends it: risk_denied',
        'Score 900 Reasons VELOCITY, NEW_PAYEE',
        'Risk saw VELOCITY, NEW_PAYEE',
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
        'Held: 30.00 yuan (CNY)',
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
        const { envelope } = await stage.query({ question: 'cancel', subject });
        await stage.deliver('glasses', 'query', envelope);
        return subject;
      },
      ['Cancelled before it came: not charged', 'The bridge signs the receipt: refused, cancelled'],
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
    expect(told).toContain('CHAIN HOLDS');
    expect(told).not.toContain('NOT HOLD');
  });

  test('a stranger who names the id afterwards changes nothing about how it ended', async () => {
    const { stage, ask, text } = await site();
    const id = await ask({});
    const { envelope } = await stage.query({ question: 'cancel', subject: id }, 'guest');
    await stage.deliver('guest', 'query', envelope);
    const told = flat(await text(id));
    expect(told).toContain('Paid: 10.00 yuan (CNY)');
    expect(told).toContain('Somebody else, who named this id: Device guest asks to cancel');
    expect(told).toContain('Somebody else, who named this id: The bridge signs the receipt');
    // Also when the table has forgotten the payment.
    await stage.store.forget(stage.clock.nowMs() + DAY_MS);
    const later = flat(await text(id));
    expect(later).toContain('Paid: 10.00 yuan (CNY)');
    expect(later).not.toContain('NOT HOLD');
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
    expect(told).toMatch(/CHAIN HOLDS · \d+ of \d+ checks hold, 3 could not be made/);
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
    'CHAIN HOLDS',
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

describe('what somebody changed is told', () => {
  const cases: readonly (readonly [why: string, sql: string, lines: readonly string[]])[] = [
    [
      'the contents of a row',
      `UPDATE evidence SET body = CAST('{"kind":"allow","score":1,"reasons":[]}' AS BLOB)
         WHERE kind = 'decision'`,
      ['THE CHAIN DOES NOT HOLD', 'decision BROKEN'],
    ],
    [
      'a row that is no JSON any more',
      `UPDATE evidence SET body = x'ff' WHERE kind = 'decision'`,
      ['THE CHAIN DOES NOT HOLD', 'A row of kind decision that cannot be read'],
    ],
    [
      'a time beyond every calendar',
      `UPDATE evidence SET at_ms = 9000000000000000 WHERE kind = 'decision'`,
      ['THE CHAIN DOES NOT HOLD', '9000000000000000 ms'],
    ],
    [
      'a row before that is gone',
      `DELETE FROM evidence WHERE kind = 'order'`,
      ['THE CHAIN DOES NOT HOLD', 'request BROKEN'],
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
      ['THE CHAIN DOES NOT HOLD', 'signature of the request: the signature does not hold'],
    ],
    [
      'the signed request, by another one of the same key',
      `UPDATE evidence SET subject = (SELECT id FROM orders) WHERE kind = 'receipt'`,
      ['is about', 'THE CHAIN DOES NOT HOLD'],
    ],
  ];
  test.each(cases)('%s', async (_why, sql, lines) => {
    const { stage, ask, order, text } = await site();
    const basket = await order();
    const id = await ask({ order: basket, terminal: 'till-1', amount: yuan(40_00n) });
    expect(await text(id)).not.toContain('NOT HOLD');
    stage.database.exec(sql);
    const told = flat(await text(id));
    for (const line of lines) expect(told).toContain(line);
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
      chainHolds: true,
      places: [
        { ...place, subject: value(), kind: value(), digest: 'd', link: 'l', state: 'holds' },
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
        const sheet = sheetOf(disputeWith(() => stream.next().value as string));
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
  expect(page).toMatch(/chain\s+holds/);
  expect(page.match(/<li class="(good|bad|plain|waiting)">\s*<span class="dot">/g)).toHaveLength(6);
  expect(page).toContain('<span>Paid in the end</span>');
});
