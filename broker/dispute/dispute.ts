/**
 * Everything about one payment, gathered so that a person who was not there is convinced: who
 * authorised what, what was shown and confirmed, who decided, what the backend said, what moved.
 *
 * It is read from the chain of evidence; the tables only lead to it, and where both speak they are
 * compared. Everything that can be proved again is proved again while it is gathered.
 */
import { toHex } from '../../src/bytes.ts';
import type { Realm } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import type { VerifyKey } from '../../src/keys.ts';
import type { Money } from '../../src/money.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Query } from '../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import type { Action, Request } from '../../src/objects/request.ts';
import type { Clock } from '../../src/platform.ts';
import { reasonWords, spokenMoney, utc } from '../../src/sentences.ts';

import {
  type Check,
  type Place,
  authorityChecks,
  consistency,
  placesOf,
  rowChecks,
  signatureChecks,
} from './checks.ts';
import {
  type About,
  type Fact,
  type Happening,
  fact,
  happeningOf,
  short,
  timeOf,
} from './events.ts';
import { type Copy, type RootKey, rootKeyOf } from './exhibits.ts';
import {
  type Granted,
  type Payee,
  type Section,
  authority,
  confirmed,
  namesIn,
  payeeOf,
  shown,
} from './grounds.ts';
import { type Prover, createProver } from '../proof.ts';
import { type Told, record, tellAll, valueIn } from './readings.ts';
import type { Run, Store } from '../store/port.ts';

export type Dispute = Readonly<{
  /** The request's id, or the order's when nobody paid it. */
  id: string;
  realm: Realm;
  writtenMs: number;
  headline: string;
  /** How it ended, for the eye. */
  tone: Happening['tone'];
  summary: readonly Fact[];
  sections: readonly Section[];
  /** In the order of the chain. */
  happenings: readonly Happening[];
  money: readonly Fact[];
  checks: readonly Check[];
  /** Every row that is told, and every statement of the keys that signed in them. */
  places: readonly Place[];
  copies: readonly Copy[];
  root: RootKey | undefined;
}>;

/** `root` lets the statements of keys be verified too. */
export type DisputeParts = Readonly<{
  realm: Realm;
  store: Store;
  clock: Clock;
  root?: VerifyKey;
}>;

/**
 * Gathers what is known of the payment with this request id, or of the one that paid or claims the
 * order with this id. Throws PaymentError `original_unknown` when there is neither.
 */
export async function collect(parts: DisputeParts, asked: string): Promise<Dispute> {
  const { store, realm, clock, root } = parts;
  const prover = createProver(store, realm, root);
  const run = (await store.run(asked)) ?? (await store.runOfOrder(asked));
  const id = run?.id ?? asked;
  const own = await tellAll(store, prover, id);
  if (!run && own.length === 0) {
    throw new PaymentError('original_unknown', `there is no payment or order ${asked}`);
  }

  const request = (valueIn(own, 'request') as Request | undefined) ?? run?.request;
  const family = await familyOf(store, prover, run, request);
  const order = request?.order === undefined ? [] : await tellAll(store, prover, request.order);
  const grounds = request?.original === undefined ? request : (family[0]?.request ?? request);
  const chain = grounds ? await store.chain(grounds.mandate, run?.admittedMs ?? 0) : [];
  const granted: Granted[] = [];
  for (const link of chain) {
    granted.push({ link, told: await tellAll(store, prover, link.id) });
  }
  const payee = request && (await payeeOf(store, prover, request, order));

  const mandates = new Map(chain.map((link) => [link.id, link.mandate]));
  const relatives = family.filter((member) => member.id !== id);
  const orders: Told[] = [...order];
  for (const { request: other } of relatives) {
    if (other?.order === undefined || other.order === request?.order) continue;
    orders.push(...(await tellAll(store, prover, other.order)));
  }
  const told = [
    ...granted.flatMap((one) => one.told),
    ...orders,
    ...relatives.flatMap((one) => one.told),
    ...own,
  ].sort((a, b) => a.row.number - b.row.number);
  const payment = request?.original === undefined ? request : family[0]?.request;
  const known = { mandates, mandate: payment?.mandate };
  const happenings = [
    ...granted.flatMap((one) => eventsOf(one.told, undefined, known, '')),
    ...eventsOf(orders, undefined, known, ''),
    ...relatives.flatMap((one) =>
      eventsOf(one.told, one.request, known, `${one.request?.action} ${short(one.id)}: `),
    ),
    ...eventsOf(own, request, known, ''),
  ].sort((a, b) => a.number - b.number);
  const copies = await copiesOf(prover, run);
  const places = await placesWithKeys(store, told, [
    ...(payee?.key === undefined ? [] : [payee.key]),
    ...copies.map(({ signer }) => signer),
  ]);
  const receipt = finalOf(own);

  return {
    id,
    realm,
    writtenMs: clock.nowMs(),
    ...endOf(request, run, receipt, own, payee, family),
    summary: await summaryOf(store, { id, request, run, receipt, own, payee }),
    sections: [
      authority(granted, await namesIn(store, granted), root),
      shown(request, order, payee),
      confirmed(request, run, own),
    ].filter(({ facts }) => facts.length > 0),
    happenings,
    money: moneyOf(family.length > 0 ? family : [{ id, request, outcome: outcomeOf(own, run) }]),
    checks: [
      ...rowChecks(places),
      ...signatureChecks(told, root),
      ...authorityChecks(granted, request, own),
      ...(await consistency(prover, { run, request, own, order, receipt })),
    ],
    places,
    copies,
    root: root && rootKeyOf(root),
  };
}

// ── gathering ─────────────────────────────────────────────────────────────────────────────────

/** A payment or hold, or what acts upon one. */
type Member = Readonly<{
  id: string;
  request: Request | undefined;
  outcome: string | undefined;
  told: readonly Told[];
}>;

/** The payment that it is all about, then what acts upon it; empty for what moves no money. */
async function familyOf(
  store: Store,
  prover: Prover,
  run: Run | undefined,
  request: Request | undefined,
): Promise<readonly Member[]> {
  if (!request || request.action === 'access') return [];
  const name = run?.original ?? request.original;
  const base =
    name === undefined ? run : ((await store.run(name)) ?? (await store.runOfOrder(name)));
  const members: Member[] = [];
  const add = async (id: string, known: Run | undefined) => {
    const told = await tellAll(store, prover, id);
    const asked = (valueIn(told, 'request') as Request | undefined) ?? known?.request;
    members.push({ id, request: asked, outcome: outcomeOf(told, known), told });
  };
  if (name !== undefined) await add(base?.id ?? name, base);
  else if (run) await add(run.id, run);
  if (base) for (const act of await store.runsOn(base.id)) await add(act.id, act);
  if (run && !members.some(({ id }) => id === run.id)) await add(run.id, run);
  return members;
}

/** What the tables alone have: the receipt that a terminal is given about its order. */
async function copiesOf(prover: Prover, run: Run | undefined): Promise<readonly Copy[]> {
  if (!run?.terminalReceipt) return [];
  const { device, receipt } = run.terminalReceipt;
  const { signatory } = await prover.prove(receiptKind, receipt, Infinity);
  const what = `The receipt that terminal ${device} is given`;
  const signer = signatory?.name ?? 'a key that is not known here';
  return [{ what, kind: 'receipt', signer, bytes: toHex(receipt) }];
}

/** The rows that are told, and the statements of every key that signed in them or is named. */
async function placesWithKeys(
  store: Store,
  told: readonly Told[],
  named: readonly string[],
): Promise<readonly Place[]> {
  const signers = new Map<number, string>();
  for (const { row, reading } of told) {
    if (reading.kind !== 'signed' || !reading.signatory) continue;
    signers.set(row.number, reading.signatory.name);
  }
  const rows = new Map(told.map(({ row }) => [row.number, row]));
  for (const name of new Set([...signers.values(), ...named])) {
    for (const row of await store.evidence(name)) {
      if (row.kind === 'key') rows.set(row.number, row);
    }
  }
  return placesOf(
    store,
    [...rows.values()].sort((a, b) => a.number - b.number),
    signers,
  );
}

function eventsOf(
  told: readonly Told[],
  request: Request | undefined,
  known: Pick<About, 'mandates' | 'mandate'>,
  prefix: string,
): readonly Happening[] {
  const backends = new Map<number, string>();
  for (const { row, reading } of told) {
    if (reading.kind !== 'record') continue;
    const { value } = reading;
    const opening = row.kind === 'decision' ? value['attempt'] : value;
    const backend = (opening as { backend?: unknown } | undefined)?.backend;
    if (row.kind !== 'decision' && row.kind !== 'attempt') continue;
    if (typeof backend === 'string') backends.set(Number(value['number'] ?? 1), backend);
  }
  return told.map((one) => {
    const happening = happeningOf(one, { ...known, request, backends });
    return { ...happening, title: prefix + happening.title };
  });
}

// ── how it ended ──────────────────────────────────────────────────────────────────────────────

/** The last receipt about a payment that is itself in the chain. */
function finalOf(told: readonly Told[]): Receipt | undefined {
  const receipts = told.flatMap(({ row, reading }) =>
    row.kind === 'receipt' && reading.kind === 'signed' ? [reading.value as Receipt] : [],
  );
  return receipts.findLast((one) => one && one.outcome !== 'pending');
}

function outcomeOf(told: readonly Told[], run: Run | undefined): string | undefined {
  return finalOf(told)?.outcome ?? run?.outcome;
}

const ENDS: Readonly<Record<string, string>> = Object.freeze({
  captured: 'Paid',
  held: 'Held',
  voided: 'Released',
  refunded: 'Refunded',
  granted: 'Let in',
  refused: 'Refused, nothing moved',
  expired: 'Expired, nothing moved',
});

function endOf(
  request: Request | undefined,
  run: Run | undefined,
  receipt: Receipt | undefined,
  own: readonly Told[],
  payee: Payee | undefined,
  family: readonly Member[],
): Readonly<{ headline: string; tone: Happening['tone'] }> {
  const outcome = receipt?.outcome ?? run?.outcome;
  const isErased = own.length > 0 && own.every(({ reading }) => reading.kind === 'erased');
  if (isErased) return { headline: 'The contents were erased', tone: 'plain' };
  if (!request) {
    const order = valueIn(own, 'order') as Order | undefined;
    if (!order) return { headline: 'Cancelled before it came: not charged', tone: 'plain' };
    return { headline: `Order of ${spokenMoney(order.amount)}, not paid here`, tone: 'plain' };
  }
  const amount = request.amount ? ` ${spokenMoney(request.amount)}` : '';
  const who = `“${payee?.name ?? request.payee}”`;
  const asked = `${request.action}${amount} · ${who}`;
  if (outcome === undefined) return { headline: `Not decided yet: ${asked}`, tone: 'waiting' };
  if (outcome === 'refused' || outcome === 'expired') {
    return { headline: `${ENDS[outcome]!}: ${asked}`, tone: 'bad' };
  }
  const end = ENDS[outcome] ?? outcome;
  const since = request.original === undefined ? sinceWords(family) : '';
  return { headline: `${end}${amount && `:${amount}`}${since} · ${who}`, tone: 'good' };
}

/** ", 23.00 yuan (CNY) refunded": what acts upon a payment did to it, each sum once. */
function sinceWords(family: readonly Member[]): string {
  const sums = new Map<string, Money>();
  for (const { request, outcome } of family) {
    if (!request?.amount || request.original === undefined || outcome === undefined) continue;
    const words = SINCE[request.action]?.[outcome];
    if (words === undefined) continue;
    const { currency, minor } = request.amount;
    sums.set(words, { currency, minor: minor + (sums.get(words)?.minor ?? 0n) });
  }
  return [...sums].map(([words, sum]) => `, ${spokenMoney(sum)} ${words}`).join('');
}

const SINCE: Readonly<Partial<Record<Action, Readonly<Record<string, string>>>>> = Object.freeze({
  capture: { captured: 'paid out of it' },
  void: { voided: 'released' },
  refund: { refunded: 'refunded' },
});

type Known = Readonly<{
  id: string;
  request: Request | undefined;
  run: Run | undefined;
  receipt: Receipt | undefined;
  own: readonly Told[];
  payee: Payee | undefined;
}>;

async function summaryOf(store: Store, known: Known): Promise<readonly Fact[]> {
  const { id, request, run, receipt, own, payee } = known;
  const first = own[0]?.row.atMs ?? run?.admittedMs;
  const attempt = run?.attempts.at(-1);
  const waits = run && !run.receipt && attempt;
  const asked = request ? undefined : (valueIn(own, 'cancel') as Query | undefined)?.subject;
  const name = valueIn(own, 'order') && !request ? 'Order' : 'Payment';
  return [
    fact(asked === undefined ? name : 'Question', id),
    ...(asked === undefined ? [] : [fact('Asks to cancel', asked)]),
    ...(request?.order === undefined ? [] : [fact('Order', request.order)]),
    ...(request?.original === undefined ? [] : [fact('Acts on', request.original)]),
    ...(first === undefined ? [] : [fact('Began', timeOf(first))]),
    ...(receipt ? [fact('Ended', utc(receipt.iat))] : []),
    ...(request?.amount ? [fact('Amount', spokenMoney(request.amount))] : []),
    ...(payee ? [fact('Payee', `“${payee.name}” (${payee.id})`)] : []),
    ...(run && run.device !== '' ? [fact('Device', run.device)] : []),
    ...(receipt?.reason === undefined ? [] : [fact('Reason', reasonWords(receipt.reason))]),
    ...(receipt?.reference === undefined ? [] : [fact('Backend reference', receipt.reference)]),
    ...(waits
      ? [fact('Waits for', `${waits.backend}, attempt ${waits.number}: ${waits.state}`)]
      : []),
    ...(await erasures(store, own)),
  ];
}

/** The records of erasures that may have taken contents of these rows. */
async function erasures(store: Store, own: readonly Told[]): Promise<readonly Fact[]> {
  const gone = own.filter(({ reading }) => reading.kind === 'erased');
  if (gone.length === 0) return [];
  const oldest = Math.min(...gone.map(({ row }) => row.atMs));
  const lines: string[] = [];
  for (const row of await store.evidence('erasure')) {
    const erasure = row.body && record(row.body);
    const before = erasure?.['before'];
    if (typeof before !== 'number' || before <= oldest) continue;
    lines.push(
      `${timeOf(row.atMs)} by ${String(erasure?.['by'])}: what was before ${timeOf(before)}`,
    );
  }
  const none = 'no record of an erasure: somebody deleted them';
  return [
    fact('Erased', `${gone.length} of ${own.length} rows have no contents any more`),
    { name: 'Erasures', lines: lines.length > 0 ? lines : [none] },
  ];
}

// ── what moved ────────────────────────────────────────────────────────────────────────────────

const MOVES: Readonly<Partial<Record<Action, Readonly<Record<string, string>>>>> = Object.freeze({
  pay: { captured: 'Paid to the payee' },
  hold: { held: 'Held, not yet paid' },
  capture: { captured: 'Paid to the payee out of the hold' },
  void: { voided: 'Released to the payer' },
  refund: { refunded: 'Refunded to the payer' },
});

/** Every movement of a payment and of what acts upon it, and what the payer has paid in the end. */
function moneyOf(family: readonly Omit<Member, 'told'>[]): readonly Fact[] {
  const facts: Fact[] = [];
  let paid = 0n;
  let currency: string | undefined;
  for (const { id, request, outcome } of family) {
    if (!request?.amount) continue;
    const { amount, action } = request;
    currency ??= amount.currency;
    const words = outcome === undefined ? undefined : MOVES[action]?.[outcome];
    if (words === undefined) {
      const end = outcome ?? 'not decided yet';
      facts.push(fact(`Nothing: ${action} ${end}`, `${spokenMoney(amount)} (${short(id)})`));
      continue;
    }
    facts.push(fact(words, `${spokenMoney(amount)} (${short(id)})`));
    if (outcome === 'captured') paid += amount.minor;
    if (outcome === 'refunded') paid -= amount.minor;
  }
  if (currency === undefined) return facts;
  // Books that refund more than was paid would be wrong; here it is told and not hidden.
  const sum = spokenMoney({ currency, minor: paid < 0n ? -paid : paid });
  return [...facts, fact('Paid in the end', paid < 0n ? `minus ${sum}` : sum)];
}
