/**
 * Every payment as a row of messages, put together from what is seen between the programs.
 *
 * Nobody inside is asked and nothing in the product knows of this, so what is shown is what really
 * travelled; what a program does by itself lies in the time between two messages. A row exists from
 * the question to the person on, and gets the id of its request when that is signed.
 */
import { toBase64url } from '../src/bytes.ts';
import { type Realm, identify, payloadOf } from '../src/cose.ts';
import { PaymentError, reasonName } from '../src/errors.ts';
import { PIPELINE_HOPS_MAX, PIPELINE_PAYMENTS_MAX } from '../src/limits.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import type { Clock } from '../src/platform.ts';
import { BRIDGE_CLIENT, parseTopic } from '../src/topics.ts';
import { fromBody } from '../broker/hmac.ts';
import type { Sensed } from '../device/sense/sensed.ts';
import type { Shown } from '../device/surface/screen.ts';
import type { Told } from '../device/telling.ts';
import type { Hop, PaymentView } from './page/wire.ts';
import type { Relayed } from './relay.ts';
import type { Passing } from './system.ts';
import type { Message } from './troubles.ts';

export type Pipeline = Readonly<{
  sensed: (device: string, sensed: Sensed) => void;
  shown: (device: string, shown: Shown) => void;
  told: (device: string, told: Told) => void;
  stored: (device: string, id: string, envelope: Uint8Array) => void;
  receipt: (device: string, id: string, receipt: Receipt) => void;
  message: (message: Message) => void;
  passing: (passing: Passing) => void;
  relayed: (relayed: Relayed) => void;
  /** All rows with their messages, oldest first. */
  all: () => readonly (PaymentView | Hop)[];
  /** One message with its row; undefined when it is not known any more. */
  find: (payment: string, number: number) => Readonly<{ view: PaymentView; hop: Hop }> | undefined;
}>;

/** `emit` hears of each new message, and of each row when anything of it changed. */
export function createPipeline(
  parts: Readonly<{ realm: Realm; clock: Clock; emit: (event: PaymentView | Hop) => void }>,
): Pipeline {
  const { realm, clock, emit } = parts;
  /** The monotonic clock tells short times better; it is put on the wall's once. */
  const offsetMs = clock.nowMs() - clock.monotonicMs();
  const rows = new Map<string, Row>();
  const byRequest = new Map<string, Row>();
  const benches = new Map<string, Bench>();
  let count = 0;

  function benchOf(device: string): Bench {
    const bench = benches.get(device) ?? { before: [], asking: undefined, last: undefined };
    benches.set(device, bench);
    return bench;
  }

  function open(device: string): Row {
    const view: PaymentView = { kind: 'payment', id: `p${++count}`, device, state: 'asking' };
    const row: Row = { view, hops: [] };
    rows.set(view.id, row);
    for (const [id, { view: old }] of rows) {
      if (rows.size <= PIPELINE_PAYMENTS_MAX) break;
      rows.delete(id);
      if (old.request !== undefined) byRequest.delete(old.request);
    }
    emit(view);
    const bench = benchOf(device);
    bench.last = row;
    for (const seen of bench.before.splice(0)) push(row, seen);
    return row;
  }

  function change(row: Row, now: Partial<PaymentView>): void {
    row.view = Object.freeze({ ...row.view, ...now });
    emit(row.view);
  }

  function push(row: Row, seen: Seen): void {
    // Of one that is sent for hours the beginning is kept, and how it ended.
    const isEnd = seen.what === 'told' || (seen.what === 'receipt' && seen.to === 'device');
    if (row.hops.length >= PIPELINE_HOPS_MAX * (isEnd ? 2 : 1)) return;
    const number = row.hops.length + 1;
    const hop: Hop = Object.freeze({ kind: 'hop', payment: row.view.id, number, ...seen });
    row.hops.push(hop);
    emit(hop);
  }

  const at = () => clock.monotonicMs() + offsetMs;

  /** The row of what travels below `topic`; undefined for what belongs to no payment. */
  function rowOf(topic: string, bytes: Uint8Array): [Row, Seen['what']] | undefined {
    const tail = parseTopic(topic)?.tail;
    try {
      const id =
        tail === 'request'
          ? identify(bytes, realm, requestKind.name).id
          : tail === 'query'
            ? queryKind.decode(payloadOf(bytes)).subject
            : tail === 'receipt'
              ? receiptKind.decode(payloadOf(bytes)).subject
              : undefined;
      const row = id === undefined ? undefined : byRequest.get(id);
      return row && [row, tail as 'request' | 'query' | 'receipt'];
    } catch (error) {
      if (error instanceof PaymentError) return undefined;
      throw error;
    }
  }

  function carry(
    topic: string,
    bytes: Uint8Array,
    [from, to]: readonly [Seen['from'], Seen['to']],
    fate?: Message['fate'],
  ): void {
    const found = rowOf(topic, bytes);
    if (!found) return;
    const [row, what] = found;
    const outcome = fate === undefined || fate === 'delivered' ? {} : { outcome: fate };
    push(row, { atMs: at(), from, to, what, ...outcome, bytes: toBase64url(bytes) });
  }

  return Object.freeze({
    sensed(device: string, sensed: Sensed) {
      const bench = benchOf(device);
      const seen = { atMs: at(), from: 'person', to: 'device', text: wordsOf(sensed) } as const;
      if (bench.asking) return push(bench.asking, { ...seen, what: 'answered' });
      bench.before.push({ ...seen, what: 'sensed' });
      if (bench.before.length > BEFORE_MAX) bench.before.shift();
    },
    shown(device: string, shown: Shown) {
      const bench = benchOf(device);
      const seen = { atMs: at(), from: 'device', to: 'person' } as const;
      if (shown.kind === 'ask') {
        bench.asking ??= open(device);
        const { payee, amount } = shown.frame;
        const text = [`${payee} · ${amount}`, shown.sentence].join(' — ');
        return push(bench.asking, { ...seen, what: 'asked', text });
      }
      const row = bench.asking ?? bench.last;
      if (shown.kind !== 'say' || !row || row.isTold) return;
      // What is said while the question is open is about the question.
      const isAnswer = row.view.state === 'asking';
      push(row, { ...seen, what: isAnswer ? 'asked' : 'told', text: shown.sentence });
      row.isTold = !isAnswer && shown.mood !== 'waiting';
    },
    told(device: string, told: Told) {
      const bench = benchOf(device);
      if (told.kind === 'said' || told.kind === 'quit') {
        if (!bench.asking) bench.before.length = 0;
        return;
      }
      if (told.kind !== 'not_sent') return;
      const row = bench.asking ?? open(device);
      bench.asking = undefined;
      change(row, { state: 'not_sent', reason: told.reason });
      const text = told.reason;
      if (!row.isTold) push(row, { atMs: at(), from: 'device', to: 'person', what: 'told', text });
      row.isTold = true;
    },
    stored(device: string, id: string, envelope: Uint8Array) {
      const bench = benchOf(device);
      const row = bench.asking ?? open(device);
      bench.asking = undefined;
      const { amount, payee, action } = requestKind.decode(payloadOf(envelope));
      byRequest.set(id, row);
      change(row, {
        ...{ request: id, payee, action, state: 'waiting' },
        ...(amount && { amount: { ...amount, minor: String(amount.minor) } }),
      });
      const seen = { atMs: at(), from: 'device', to: 'device', what: 'stored' } as const;
      push(row, { ...seen, bytes: toBase64url(envelope) });
    },
    receipt(_device: string, id: string, { outcome, reason }: Receipt) {
      const row = byRequest.get(id);
      if (!row || !isFinal(outcome)) return;
      const state = STATES[outcome];
      if (!state) return;
      const why = reason === undefined ? undefined : reasonName(reason);
      change(row, { state, ...(why !== undefined && { reason: why }) });
    },
    message({ way, topic, bytes, fate }: Message) {
      carry(topic, bytes, way === 'up' ? ['device', 'broker'] : ['broker', 'device'], fate);
    },
    passing({ client, way, topic, payload }: Passing) {
      if (client !== BRIDGE_CLIENT) return;
      carry(topic, payload, way === 'in' ? ['bridge', 'broker'] : ['broker', 'bridge']);
    },
    relayed({ service, path, way, body, status, fate }: Relayed) {
      const id = subjectOf(path, body);
      const row = id === undefined ? undefined : byRequest.get(id);
      if (!row) return;
      const [from, to] = way === 'asked' ? ['bridge', service] : [service, 'bridge'];
      const isLost = fate === 'refused' || (fate === 'lost' && way === 'answered');
      const outcome = isLost
        ? 'lost'
        : fate === 'slow' && way === 'answered'
          ? 'late'
          : fate === 'again' && way === 'asked'
            ? 'again'
            : status === undefined || status === 200
              ? undefined
              : String(status);
      push(row, {
        ...({ atMs: at(), from, to } as Pick<Seen, 'atMs' | 'from' | 'to'>),
        what: service === 'risk' ? 'risk' : 'money',
        text: path,
        ...(outcome !== undefined && { outcome }),
        ...(body.length > 0 && { bytes: toBase64url(body) }),
      });
    },
    all: () => [...rows.values()].flatMap(({ view, hops }) => [view, ...hops]),
    find(payment: string, number: number) {
      const row = rows.get(payment);
      const hop = row?.hops[number - 1];
      return row && hop && { view: row.view, hop };
    },
  });
}

type Seen = Omit<Hop, 'kind' | 'payment' | 'number'>;
/** `isTold`: the person knows how it ended. */
type Row = { view: PaymentView; readonly hops: Hop[]; isTold?: boolean };
/** What is going on before one device. */
type Bench = {
  /** What was done and belongs to no payment yet. */
  readonly before: Seen[];
  asking: Row | undefined;
  last: Row | undefined;
};

/** A payee that waits for an amount and the like: a few things are done for one payment. */
const BEFORE_MAX = 8;

const STATES: Partial<Readonly<Record<Receipt['outcome'], PaymentView['state']>>> = {
  captured: 'paid',
  held: 'held',
  voided: 'voided',
  refunded: 'refunded',
  refused: 'refused',
  expired: 'expired',
};

/** The id of the payment that a call is about: in its path, or in its JSON. */
function subjectOf(path: string, body: Uint8Array): string | undefined {
  const named = /^\/v1\/payments\/([0-9a-f]{32})$/.exec(path)?.[1];
  const value = fromBody(body) as Readonly<Record<string, unknown>> | undefined;
  const id = named ?? value?.['key'] ?? value?.['id'];
  return typeof id === 'string' ? id : undefined;
}

function wordsOf(sensed: Sensed): string {
  switch (sensed.kind) {
    case 'utterance':
      return `“${sensed.text}”`;
    case 'tag':
      return `a tag, ${sensed.message.length} bytes`;
    case 'link':
      return 'a link';
    case 'picture':
      return `a picture, ${sensed.png.length} bytes`;
    case 'press':
      return 'a press';
    case 'pin':
      return 'the PIN';
    case 'worn':
      return `taken ${sensed.how}`;
  }
}
