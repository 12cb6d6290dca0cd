/**
 * Everything about one payment, gathered so that a person who was not there is convinced: who
 * authorised what, what was shown and confirmed, who decided, what the backend said, what moved.
 *
 * It is read from the chain of evidence; the tables only lead to it, and where both speak they are
 * compared. Everything that can be proved again is proved again while it is gathered.
 */
import type { Realm } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import type { VerifyKey } from '../../src/keys.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { Action, Request } from '../../src/objects/request.ts';
import type { Clock } from '../../src/platform.ts';
import { reasonWords, spokenMoney, utc } from '../../src/sentences.ts';

import {
  type Check,
  type Place,
  authorityChecks,
  consistency,
  placesOf,
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
import { type Told, record, signatoryIn, tellAll, valueIn } from './readings.ts';
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
  /** Every row of this file follows from the row before it, and the next row from it. */
  chainHolds: boolean;
  places: readonly Place[];
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
  const happenings = [
    ...granted.flatMap((one) => eventsOf(one.told, undefined, mandates, '')),
    ...eventsOf(orders, undefined, mandates, ''),
    ...relatives.flatMap((one) =>
      eventsOf(one.told, one.request, mandates, `${one.request?.action} ${short(one.id)}: `),
    ),
    ...eventsOf(own, request, mandates, ''),
  ].sort((a, b) => a.number - b.number);
  const { places, chainHolds } = await placesOf(store, told);
  const receipt = finalOf(own);

  return {
    id,
    realm,
    writtenMs: clock.nowMs(),
    ...endOf(request, run, receipt, own, payee),
    summary: await summaryOf(store, { id, request, run, receipt, own, payee }),
    sections: [
      authority(granted, await namesIn(store, granted), root),
      shown(request, order, payee),
      confirmed(request, run, own),
    ].filter(({ facts }) => facts.length > 0),
    happenings,
    money: moneyOf(family.length > 0 ? family : [{ id, request, outcome: outcomeOf(own, run) }]),
    checks: [
      ...signatureChecks(told, root),
      ...authorityChecks(granted, request, own),
      ...(await consistency(prover, { run, request, own, order, receipt })),
    ],
    chainHolds,
    places,
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

function eventsOf(
  told: readonly Told[],
  request: Request | undefined,
  mandates: About['mandates'],
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
  const foreign = strangers(told);
  return told.map((one) => {
    const happening = happeningOf(one, { request, mandates, backends });
    const who = foreign.has(one.row.number) ? 'Somebody else, who named this id: ' : '';
    return { ...happening, title: prefix + who + happening.title };
  });
}

// ── how it ended ──────────────────────────────────────────────────────────────────────────────

/** The last receipt about a payment that is itself in the chain. */
function finalOf(told: readonly Told[]): Receipt | undefined {
  const foreign = strangers(told);
  const receipts = told.flatMap(({ row, reading }) =>
    row.kind === 'receipt' && reading.kind === 'signed' && !foreign.has(row.number)
      ? [reading.value as Receipt]
      : [],
  );
  return receipts.findLast((one) => one && one.outcome !== 'pending');
}

/**
 * Rows of those who cancelled this id without having asked for it, and of the answers that they
 * got: anybody may name an id, and learns nothing by it.
 */
function strangers(told: readonly Told[]): ReadonlySet<number> {
  const numbers = new Set<number>();
  const asker = signatoryIn(told, 'request')?.name;
  for (const { row, reading } of told) {
    const isCancel = row.kind === 'cancel' && reading.kind === 'signed';
    const isForeign = isCancel && asker !== undefined && reading.signatory?.name !== asker;
    if (isForeign) numbers.add(row.number);
    if (row.kind === 'receipt' && numbers.has(row.number - 1)) numbers.add(row.number);
  }
  return numbers;
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
  return { headline: `${end}${amount && `:${amount}`} · ${who}`, tone: 'good' };
}

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
  return [
    fact(request || !valueIn(own, 'order') ? 'Payment' : 'Order', id),
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
