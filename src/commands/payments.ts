/**
 * `saytap payments`: what went through a bridge, and the few payments that wait for a person.
 *
 * A payment comes here when its backend gave no definite word for as long as it can be asked. Only
 * then may a person say what became of the money, and what they say is final.
 */
import { type Context, UsageError, defineCommand } from '../command.ts';
import { OperatorError } from '../errors.ts';
import { RESOLVE_LOOKS } from '../limits.ts';
import { utc } from '../sentences.ts';
import {
  CONFIG,
  PERSON_OPTIONS,
  type PaymentView,
  ageText,
  askBridge,
  columns,
  everyRow,
  moneyText,
  requireDecision,
} from './operator.ts';

const ID = { value: 'ID', says: 'of the request, or of the order: 32 digits', needs: 'an id' };

const list = defineCommand({
  summary: 'every payment that the bridge remembers, oldest first',
  options: { config: CONFIG },
  examples: ['payments list --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const rows = await everyPayment(context, options.config, 'all');
    if (rows.length === 0) return context.write('no payments');
    const table = rows.map((view) => [
      view.id,
      utc(Math.floor(view.admittedMs / 1000)),
      view.action,
      moneyText(view.minor, view.currency),
      view.payee,
      outcomeText(view),
    ]);
    const head = ['payment', 'admitted', 'action', 'amount', 'payee', 'outcome'];
    for (const line of columns([head, ...table])) context.write(line);
  },
});

const show = defineCommand({
  summary: 'one payment, with every attempt at a backend',
  inputs: [ID],
  options: { config: CONFIG },
  examples: ['payments show 0123456789abcdef0123456789abcdef --config /tmp/demo/bridge.yaml'],
  async run({ options, inputs }, context) {
    const view = await paymentOf(context, options.config, inputs[0]!);
    for (const line of paymentLines(view)) context.write(line);
  },
});

const unresolved = defineCommand({
  summary: 'payments without a definite word from their backend',
  about:
    'State unknown or cancelling: the bridge still asks by itself. State person: it has nothing ' +
    'left to ask. Ask the provider about the key, then saytap payments resolve.',
  options: { config: CONFIG },
  examples: ['payments unresolved --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const rows = await everyPayment(context, options.config, 'unresolved');
    if (rows.length === 0) return context.write('nothing waits for a word');
    const nowMs = context.clock.nowMs();
    const table = rows.map((view) => {
      const attempt = view.attempts.at(-1)!;
      return [
        view.id,
        attempt.state,
        ageText(nowMs - attempt.atMs),
        attempt.backend,
        attempt.operation,
        moneyText(view.minor, view.currency),
      ];
    });
    const head = ['payment = key at the backend', 'state', 'since', 'backend', 'asked', 'amount'];
    for (const line of columns([head, ...table])) context.write(line);
  },
});

/** What a person may find out about each action; `not-moved` always. */
const OUTCOMES = Object.freeze({
  captured: ['pay', 'capture'],
  held: ['hold'],
  voided: ['void'],
  refunded: ['refund'],
} as const);
type Found = keyof typeof OUTCOMES;

const resolve = defineCommand({
  summary: 'says what became of a payment that waits for a person',
  about:
    'Ask the provider first: what you say here is final, goes into the evidence with your name, ' +
    'and is told to the payer.',
  inputs: [ID],
  options: {
    config: CONFIG,
    captured: { says: 'the provider took the money' },
    held: { says: 'the provider holds the money' },
    voided: { says: 'the provider gave the hold back' },
    refunded: { says: 'the provider gave the money back' },
    'not-moved': { says: 'nothing moved, and the provider says that nothing will' },
    ...PERSON_OPTIONS,
    yes: { says: 'do it without asking' },
  },
  examples: [
    'payments resolve 0123456789abcdef0123456789abcdef --config /tmp/demo/bridge.yaml \\\n' +
      '    --captured --by mei --why "settled in the provider\'s report of Friday"',
  ],
  async run({ options, inputs }, context) {
    const { config, by, why } = options;
    const said = (Object.keys(OUTCOMES) as Found[]).filter((one) => options[one]);
    const outcome = said[0];
    if (said.length + Number(options['not-moved']) !== 1) {
      throw new UsageError('say one of --captured, --held, --voided, --refunded, --not-moved');
    }
    const view = await paymentOf(context, config, inputs[0]!);
    const { id } = view;
    requireWaiting(view);
    if (outcome !== undefined && !(OUTCOMES[outcome] as readonly string[]).includes(view.action)) {
      throw new UsageError(
        `a ${view.action} is never ${outcome}: say what it came to, or not-moved`,
      );
    }
    for (const line of paymentLines(view)) context.write(line);
    context.write(consequence(view, outcome));
    if (!options.yes) await requireDecision(context, 'Record this for good?');
    await askBridge(context, config, {
      ask: 'resolve',
      id,
      ...(outcome !== undefined && { outcome }),
      by,
      why,
    });
    for (let look = 0; look < RESOLVE_LOOKS; look++) {
      const now = await paymentOf(context, config, id);
      if (now.outcome === 'pending') continue;
      return context.write(`payment ${id} is ${outcomeText(now)}`);
    }
    context.write(`recorded; the bridge ends it now: saytap payments show ${id}`);
  },
});

export const command = Object.freeze({
  summary: 'what went through a bridge, and what waits for a person',
  examples: ['payments unresolved --config /tmp/demo/bridge.yaml'],
  commands: { list, show, unresolved, resolve },
});

function everyPayment(context: Context, config: string, which: 'all' | 'unresolved') {
  const question = { ask: 'payments', which };
  return everyRow<PaymentView>(context, config, question, ({ admittedMs, id }) => ({
    atMs: admittedMs,
    id,
  }));
}

async function paymentOf(context: Context, config: string, id: string): Promise<PaymentView> {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new UsageError('an id is 32 hexadecimal digits');
  // A running bridge answers null for what it does not have, one that is opened here undefined.
  const view = await askBridge<PaymentView | null | undefined>(context, config, {
    ask: 'payment',
    id,
  });
  if (view) return view;
  throw new OperatorError('failed', `this bridge has no payment ${id}`);
}

function requireWaiting({ id, outcome, attempts }: PaymentView): void {
  const state = attempts.at(-1)?.state;
  if (state === 'person') return;
  throw new OperatorError(
    'failed',
    outcome === 'pending'
      ? `payment ${id} does not wait for a person: the bridge still asks (${state ?? 'no attempt'})`
      : `payment ${id} is over: ${outcome}`,
  );
}

function paymentLines(view: PaymentView): readonly string[] {
  const { id, action, device, payee, admittedMs, cancelAskedMs } = view;
  return [
    `payment ${id}: ${action} ${moneyText(view.minor, view.currency)}, payee ${payee}`,
    `  asked by ${device === '' ? 'the bridge itself' : device}, ` +
      `admitted ${utc(Math.floor(admittedMs / 1000))}, ${outcomeText(view)}`,
    ...(cancelAskedMs === undefined
      ? []
      : [`  its device asked to cancel it at ${utc(Math.floor(cancelAskedMs / 1000))}`]),
    ...view.attempts.map(
      ({ number, operation, backend, state, atMs, reference }) =>
        `  attempt ${number}: ${operation} at ${backend} on ${utc(Math.floor(atMs / 1000))}: ` +
        `${state}${reference === undefined ? '' : `, reference ${reference}`}`,
    ),
  ];
}

function outcomeText({ outcome, reason }: PaymentView): string {
  return reason === undefined ? outcome : `${outcome} (${reason})`;
}

/** What the person's word makes true. */
function consequence(view: PaymentView, outcome: Found | undefined): string {
  const money = moneyText(view.minor, view.currency);
  switch (outcome) {
    case undefined:
      return (
        `If you say not-moved: the ${view.action} is refused or tried at another backend, the ` +
        `payer may pay again, and ${money} no longer counts against any limit. If the money ` +
        'moves after all, nobody here notices before the next saytap audit.'
      );
    case 'captured':
      return (
        `If you say captured: the payer gets a receipt for ${money}, their limits stay used, and ` +
        'the order counts as paid. If the money did not move, the payee gives the goods away.'
      );
    case 'held':
      return (
        `If you say held: ${money} stays reserved for the payee, who captures it or gives it ` +
        'back. If it is not held, the capture fails later.'
      );
    case 'voided':
      return `If you say voided: the hold of ${money} is over and the limits are free again.`;
    case 'refunded':
      return `If you say refunded: the payer is told that ${money} came back.`;
  }
}
