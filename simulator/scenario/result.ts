/**
 * What came of a step, as far as it is known: by what the device told, and after a power cut by the
 * receipts that its outbox holds.
 */
import type { RunningGlasses, RunningKiosk } from '../../device/compose.ts';
import type { Acted, OpenOrder } from '../../device/terminal.ts';
import type { Told } from '../../device/telling.ts';
import { payloadOf } from '../../src/cose.ts';
import { PaymentError, reasonName } from '../../src/errors.ts';
import type { Money } from '../../src/money.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Outcome } from './expectation.ts';
import type { AgentPayment } from './stage.ts';
import type { Place } from './source.ts';
import type { Gives } from './verb.ts';

/** Thrown inside a step that cannot be done. */
export class Otherwise extends Error {
  readonly place: Place | undefined;

  constructor(message: string, place?: Place) {
    super(message);
    this.name = 'Otherwise';
    this.place = place;
  }
}

/** Changes while the world goes on. */
export type Result = {
  readonly name: string;
  readonly gives: Gives;
  /** Where it was asked for, and the program that ran there then. */
  readonly machine: string;
  readonly running: RunningGlasses | RunningKiosk | undefined;
  /** Set as soon as it is known. */
  amount: Money | undefined;
  id: string | undefined;
  outcome: Outcome | undefined;
  reason: string | undefined;
  /** Every outcome that it ever had. */
  readonly passed: Set<Outcome>;
  /** Of an order: what its code says. */
  uri: string | undefined;
  /** Nothing that is still to come changes it. */
  isFinal: boolean;
  agent: AgentPayment | undefined;
};

export function createResult(
  about: Pick<Result, 'name' | 'gives' | 'machine' | 'running'>,
): Result {
  const none = { amount: undefined, id: undefined, outcome: undefined, reason: undefined };
  const passed = new Set<Outcome>();
  return { ...about, ...none, passed, uri: undefined, isFinal: false, agent: undefined };
}

/** Notes what a device tells of a payment or of what a clerk did, now and later. */
export function follow(result: Result, told: Promise<Told | Acted>): void {
  const take = (one: Told | Acted): void => {
    if ('id' in one) result.id = one.id;
    const isDeed = result.gives === 'deed';
    switch (one.kind) {
      case 'paid':
      case 'done':
        return settle(result, isDeed ? 'done' : 'paid', undefined);
      case 'refused':
        return settle(result, 'refused', one.receipt.reason);
      case 'not_sent':
        return settle(result, 'not sent', one.reason);
      case 'said':
      case 'quit':
        return settle(result, 'said', undefined);
      case 'unconfirmed':
      case 'accepted':
        become(result, one.kind);
        follow(result, one.later);
    }
  };
  // A device that dies says nothing any more, and what it throws then is not about the payment.
  told.then(take, (error: unknown) => {
    if (error instanceof PaymentError) settle(result, 'not sent', error.reason);
  });
}

/** Notes what becomes of an order. */
export function followOrder(result: Result, made: Promise<OpenOrder>): void {
  const fail = (outcome: 'not made' | 'refused') => (error: unknown) => {
    if (error instanceof PaymentError) settle(result, outcome, error.reason);
  };
  made.then((order) => {
    result.id = order.id;
    result.uri = order.uri;
    order.registered.then(() => {
      if (!result.isFinal) become(result, 'open');
    }, fail('refused'));
    void order.settled.then((receipt) => takeReceipt(result, receipt));
  }, fail('not made'));
}

/**
 * What the device's own outbox says of it now. `claimed` are the ids that other results have: a
 * payment whose device died before it could tell is the one that is nobody's.
 */
export function refresh(
  result: Result,
  device: RunningGlasses | RunningKiosk | undefined,
  claimed: ReadonlySet<string>,
): void {
  if (result.isFinal) return;
  if (result.agent) {
    const receipt = result.agent.receipt();
    if (receipt) takeReceipt(result, receipt);
    return;
  }
  if (!device) return;
  const { outbox } = device;
  // The program that was asked has died: what it kept and nobody has claimed is this payment.
  if (device !== result.running && result.id === undefined && result.gives === 'payment') {
    const entries = [...outbox.recent(ENTRIES), ...outbox.open()];
    const own = entries.find(({ id, kind, envelope }) => {
      if (kind !== 'request' || claimed.has(id)) return false;
      return requestKind.decode(payloadOf(envelope)).action === 'pay';
    });
    if (!own) return settle(result, 'not sent', undefined);
    result.id = own.id;
    become(result, 'unconfirmed');
  }
  const stored = result.id === undefined ? undefined : outbox.get(result.id)?.receipt;
  if (!stored) return;
  const receipt = receiptKind.decode(payloadOf(stored));
  if (isFinal(receipt.outcome)) takeReceipt(result, receipt);
}

/** How a person would say how it stands. */
export function standing({ outcome, reason, name }: Result): string {
  if (outcome === undefined) return `${name} has come to nothing yet`;
  return `${name} is ${outcome}${reason === undefined ? '' : ` (${reason})`}`;
}

function takeReceipt(result: Result, receipt: Receipt): void {
  const { outcome, reason } = receipt;
  const isDeed = result.gives === 'deed';
  switch (outcome) {
    case 'captured':
      return settle(result, isDeed ? 'done' : 'paid', undefined);
    case 'held':
      if (result.gives !== 'order') return settle(result, 'paid', undefined);
      return become(result, 'held');
    case 'refunded':
    case 'voided':
      return settle(result, 'done', undefined);
    case 'expired':
      return settle(result, result.gives === 'order' ? 'expired' : 'refused', reason);
    case 'refused':
      return settle(result, 'refused', reason);
    default:
      return;
  }
}

function settle(result: Result, outcome: Outcome, reason: number | string | undefined): void {
  become(result, outcome);
  result.reason = typeof reason === 'number' ? (reasonName(reason) ?? String(reason)) : reason;
  result.isFinal = true;
}

/** Notes how it stands now. */
export function become(result: Result, outcome: Outcome): void {
  result.outcome = outcome;
  result.passed.add(outcome);
}

/** More than one device of a scenario ever holds. */
const ENTRIES = 10_000;
