/**
 * Sixteen probes that AP2's reference constraint code was asked, put to this bridge; the table of
 * answers in docs/ap2-probes.md is written by this test.
 *
 * Method: each probe is set up with the means that a mandate of ours has for it, and sent through a
 * whole bridge. AP2's answers were measured on its repository at commit e1ea56d (v0.2, pydantic
 * 2.13.5, the constraint layer alone). `npm run docs` writes the page; without it the page must
 * already say what the probes answer now.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromHex, concat } from '../src/bytes.ts';
import { encodeCbor } from '../src/cbor.ts';
import { signEnvelope } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { open, seal } from '../src/objects/kind.ts';
import { type Mandate, mandate as mandateKind } from '../src/objects/mandate.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import {
  CAST,
  NOW_MS,
  NOW_S,
  Power,
  REALM,
  type Stage,
  createStage,
  mandateOf,
  orderOf,
  putMandate,
  requestOf,
  verdictOf,
} from './broker/stage.ts';

type Answer = Readonly<{ isAccepted: boolean; says: string }>;
type Probe = Readonly<{
  number: number;
  asks: string;
  ap2: 'accepted' | 'refused';
  /** `gap`: undocumented or intended there. `fault`: against its own text, arithmetic or safety. */
  verdict: 'fault' | 'gap' | 'right';
  right: 'accept' | 'refuse';
  means: string;
  run: () => Promise<Answer>;
}>;

const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

/** A stage whose policy has opened the currencies of the probes. */
async function probeStage(): Promise<Stage> {
  const stage = await createStage();
  const bands = [{ ceiling: 10_000_000n, level: 2 }] as const;
  const ladders = ['CNY', 'JPY', 'USD'].map((currency) => ({ currency, bands }));
  const policy = { iat: NOW_S, version: 1, scope: { kind: 'platform' }, ladders } as const;
  stage.restart(new Power(), { rules: { policies: [policy], isFresh: stage.nonces.isFresh } });
  return stage;
}

const WIDE = {
  perPaymentMax: 10_000_000n,
  bands: [{ ceiling: 10_000_000n, level: 2 }],
} as const satisfies Partial<Mandate>;

/** Sends requests one after the other under one mandate; the answer to the last. */
async function under(
  changes: Partial<Mandate>,
  ...requests: readonly Partial<Request>[]
): Promise<Answer> {
  const stage = await probeStage();
  const mandate = await putMandate(stage.store, { ...WIDE, ...changes });
  return lastOf(stage, mandate, requests);
}

async function lastOf(
  stage: Stage,
  mandate: string,
  requests: readonly Partial<Request>[],
): Promise<Answer> {
  let says: readonly (string | undefined)[] = [];
  for (const [i, changes] of requests.entries()) {
    const request = await stage.request({ mandate, counter: i + 1, ...changes });
    await stage.deliver('glasses', 'request', request.envelope);
    says = verdictOf(stage.told('glasses', request.id).at(-1));
  }
  return { isAccepted: says[0] === 'captured', says: says.filter(Boolean).join(', ') };
}

/** A truly signed request with these bytes in the place of its amount, or more fields. */
async function bytesInstead(change: (payload: Uint8Array) => Uint8Array): Promise<Answer> {
  const stage = await probeStage();
  const payload = requestKind.encode(requestOf({ nonce: stage.nonces.at(NOW_MS) }));
  const envelope = await signEnvelope(change(payload), REALM, 'request', CAST.glasses);
  const before = stage.rows();
  await stage.deliver('glasses', 'request', envelope);
  expect(stage.rows(), 'nothing is stored').toEqual(before);
  expect(stage.backend.calls).toEqual([]);
  try {
    open(requestKind, envelope, REALM, () => CAST.glasses.key);
  } catch (error) {
    if (error instanceof PaymentError) {
      return { isAccepted: false, says: `turned away, ${error.reason}` };
    }
  }
  return { isAccepted: true, says: 'read' };
}

const replaced = (from: Uint8Array, toHex: string) => (payload: Uint8Array) => {
  const at = Buffer.from(payload).indexOf(Buffer.from(from));
  return concat(payload.slice(0, at), fromHex(toHex), payload.slice(at + from.length));
};
const AMOUNT = encodeCbor(['CNY', 2, 1_000]);

/** What the codec says of a mandate that lacks something. */
async function unwritable(change: (mandate: Mandate) => unknown): Promise<Answer> {
  try {
    await seal(mandateKind, change(mandateOf()) as Mandate, REALM, CAST.wallet);
  } catch (error) {
    if (error instanceof PaymentError) {
      return { isAccepted: false, says: `cannot be signed, ${error.reason}` };
    }
    throw error;
  }
  return { isAccepted: true, says: 'signed' };
}

/** A mandate for one order; another order of the same terminal and price is sent to be paid. */
async function otherOrder(lines: readonly string[], price: bigint): Promise<Answer> {
  const stage = await probeStage();
  const asked = await stage.order({
    amount: yuan(40_00n),
    lines: [
      { text: 'Shoe', quantity: 1, total: 30_00n },
      { text: 'Sock', quantity: 1, total: 10_00n },
    ],
  });
  const total = price * BigInt(lines.length);
  const other = await stage.order({
    ...orderOf({ salt: new Uint8Array(16).fill(2) }),
    amount: yuan(total),
    lines: lines.map((text) => ({ text, quantity: 1, total: price })),
  });
  for (const { envelope } of [asked, other]) await stage.deliver('kiosk', 'order', envelope);
  const allow = [{ kind: 'order', order: asked.id }] as const;
  const mandate = await putMandate(stage.store, { ...WIDE, allow });
  const request = { order: other.id, terminal: 'till-1', amount: yuan(total) };
  return lastOf(stage, mandate, [request]);
}

const total = (max: bigint, count = 100) => [{ kind: 'total', max, count }] as const;

const PROBES: readonly Probe[] = [
  {
    number: 1,
    asks: 'once a day; the last use was 1 s ago',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'a calendar window of one payment a day, in the payer’s zone',
    run: () =>
      under(
        { windows: [{ kind: 'calendar', period: 'day', zone: 'UTC', max: 999_00n, count: 1 }] },
        {},
        {},
      ),
  },
  {
    number: 2,
    asks: 'a budget of 5,000 in minor units; 499,999 is spent',
    ap2: 'accepted',
    verdict: 'gap',
    right: 'refuse',
    means: 'every amount is minor units with currency and exponent, signed',
    run: () => under({ windows: total(5_000n) }, { amount: yuan(499_999n) }),
  },
  {
    number: 3,
    asks: 'a budget of 1,000 yen; 100,000 yen are spent',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'the exponent of the currency, 0 for JPY, is part of mandate and request',
    run: () =>
      under(
        { currency: 'JPY', windows: total(1_000n) },
        { amount: { currency: 'JPY', minor: 100_000n } },
      ),
  },
  {
    number: 4,
    asks: 'a budget of 0.29 USD; 29 cents are spent',
    ap2: 'refused',
    verdict: 'fault',
    right: 'accept',
    means: 'integers: 29 of 29 minor units',
    run: () =>
      under({ currency: 'USD', windows: total(29n) }, { amount: { currency: 'USD', minor: 29n } }),
  },
  {
    number: 5,
    asks: 'the window closed in 2020; the request names no date',
    ap2: 'accepted',
    verdict: 'gap',
    right: 'refuse',
    means: 'exp is required and compared with the bridge’s time, not with what the request says',
    run: () => under({ nbf: 1_577_836_800, exp: 1_609_459_200, iat: 1_577_836_800 }, {}),
  },
  {
    number: 6,
    asks: 'over at 30 April 00:00 UTC; asked at 29 April 23:00 −12:00, which is 11 hours later',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'times are seconds since 1970; there is no text to compare',
    run: () => under({ nbf: NOW_S - 90_000, exp: NOW_S - 11 * 3_600 }, {}),
  },
  {
    number: 7,
    asks: 'the mandate fixes the payment provider a.com; the request says evil.com',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'a request cannot say how it is funded; an unknown field is refused',
    run: () =>
      bytesInstead((payload) => {
        const more = concat(encodeCbor(34), encodeCbor('evil.com'));
        return concat(Uint8Array.of(payload[0]! + 1), payload.slice(1), more);
      }),
  },
  {
    number: 8,
    asks: 'an amount of −100',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'negative amounts cannot be written',
    run: () => bytesInstead(replaced(AMOUNT, '8363434e59023863')),
  },
  {
    number: 9,
    asks: 'an amount of −100,000 against a budget',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'negative amounts cannot be written, so no total ever falls',
    run: () => bytesInstead(replaced(AMOUNT, '8363434e59023a0001869f')),
  },
  {
    number: 10,
    asks: 'a payee with an empty id and a copied name',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'a payee is an id of 1 to 64 characters; names come from the root’s Key statement only',
    run: () => bytesInstead(replaced(encodeCbor('cafe'), '60')),
  },
  {
    number: 11,
    asks: 'a mandate without any limit; 10^12 is spent',
    ap2: 'accepted',
    verdict: 'gap',
    right: 'refuse',
    means: 'limit per payment and at least one window are required fields',
    run: () => unwritable(({ windows: _, perPaymentMax: __, ...rest }) => rest),
  },
  {
    number: 12,
    asks: 'nothing is said of repeated use; there were 7 uses before',
    ap2: 'accepted',
    verdict: 'gap',
    right: 'refuse',
    means: 'every window has a count, so a mandate for one use says one, and the bridge counts',
    run: () => under({ windows: total(999_00n, 1) }, {}, {}),
  },
  {
    number: 13,
    asks: 'one shoe and one sock are asked for; the cart holds the shoe only',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'what was agreed to is one order, signed by its terminal, by id',
    run: () => otherOrder(['Shoe'], 30_00n),
  },
  {
    number: 14,
    asks: 'the same; the cart holds the sock only',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'as 13',
    run: () => otherOrder(['Sock'], 10_00n),
  },
  {
    number: 15,
    asks: 'every acceptable item is withheld from the verifier; the cart holds a gift card',
    ap2: 'accepted',
    verdict: 'fault',
    right: 'refuse',
    means: 'nothing of a mandate can be withheld from the bridge',
    run: () => otherOrder(['Gift card'], 40_00n),
  },
  {
    number: 16,
    asks: 'a red shoe is asked for; the cart holds a red one and a blue one',
    ap2: 'refused',
    verdict: 'right',
    right: 'refuse',
    means: 'as 13',
    run: () => otherOrder(['Red shoe', 'Blue shoe'], 20_00n),
  },
];

const PAGE = join(import.meta.dirname, '..', 'docs', 'ap2-probes.md');

function pageOf(answers: ReadonlyMap<number, Answer>): string {
  const rows = PROBES.map(({ number, asks, ap2, verdict, right, means }) => {
    const { says } = answers.get(number)!;
    const theirs = { fault: `${ap2} (fault)`, gap: `${ap2} (left open)`, right: ap2 }[verdict];
    return `| ${[number, asks, right, theirs, `\`${says}\``, means].join(' | ')} |`;
  });
  const wrong = PROBES.filter(({ verdict }) => verdict !== 'right').length;
  return `# Sixteen probes, two verifiers

AP2 v0.2 is the reference for delegated payments. Its constraint code (commit \`e1ea56d\`) was
asked sixteen hostile questions and gave ${wrong} answers that a payment system must not give: some
against its own text or plain arithmetic (_fault_), some where its text leaves the matter open or
means it so (_left open_). The same questions, put to this bridge with the means that its mandates
have, are answered as below.

This page is written by \`test/ap2.test.ts\` (\`npm run docs\`) from what a whole bridge answered;
\`npm test\` fails when an answer changes. AP2's signature path was not part of the comparison.

<!-- prettier-ignore -->
| # | Asked | Right | AP2's answer | Ours | By what means |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

describe('the sixteen probes on AP2’s reference constraint code', () => {
  const answers = new Map<number, Answer>();

  test.each(PROBES)('$number: $asks', async ({ number, right, run }) => {
    const answer = await run();
    answers.set(number, answer);
    expect(answer.isAccepted, answer.says).toBe(right === 'accept');
  });

  test('docs/ap2-probes.md says what they answer', () => {
    if (process.env['SAYTAP_WRITE_DOCS']) writeFileSync(PAGE, pageOf(answers));
    expect(readFileSync(PAGE, 'utf8')).toBe(pageOf(answers));
  });
});
