/**
 * A payment provider at its worst, with books of its own: for the conformance suite, for the
 * bridge's tests on virtual time, and for storms.
 *
 * It shares no line with the ledger, so that a mistake in one does not excuse the other. It keeps
 * its promises: what its capabilities say is true, also of what they do not promise (a key that is
 * repeated too late moves money again). All else goes wrong by plan or by chance. `truth` is what
 * really moved, whatever anybody was told.
 */
import { createHash } from 'node:crypto';
import { createVerifier, fromBody, signCall, toBody } from '../../../broker/hmac.ts';
import type {
  Authorisation,
  Backend,
  BackendAnswer,
  BackendState,
  Capabilities,
  Definite,
  Moved,
  Movement,
} from '../../../broker/backends/port.ts';
import { PaymentError } from '../../../src/errors.ts';
import type { Clock, HttpQuestion, Random, Timers } from '../../../src/platform.ts';

export const HOSTILE_FAULTS = Object.freeze([
  /** Never reached; the caller knows it. */
  'unsent',
  /** The connection breaks and nothing was executed. */
  'loseBefore',
  /** Executed, and the connection breaks before the answer. */
  'loseAfter',
  /** Executed and answered after `lateMs`; until then a query says that the key is not seen. */
  'late',
  /** Answered "in process", executed after `lateMs`; until then the key is not seen. */
  'later',
  /** The call arrives twice, the second time after `lateMs`. */
  'twice',
  /** Overtaken: executed after the next call is, or after `lateMs`. */
  'disordered',
  /** Its notice comes before its answer, twice, after `lateMs`, or never. */
  'noticeFirst',
  'noticeTwice',
  'noticeLate',
  'noticeLost',
] as const);

export type HostileFault = (typeof HOSTILE_FAULTS)[number];

/** What really happened to the money of one authorisation, in minor units. */
export type Fate = Readonly<{ held: bigint; captured: bigint; refunded: bigint }>;

export type Truth = Readonly<{
  /** Every movement, oldest first. */
  moved: readonly Moved[];
  /** The sum of all movements under one authorisation. */
  of: (key: string) => Fate;
  /** What is left on a funding account. */
  balance: (funding: string) => bigint;
}>;

export type Hostile = Readonly<{
  backend: Backend;
  /** The next calls that move money meet these, in order; then chance decides again. */
  plan: (...faults: readonly (HostileFault | 'none')[]) => void;
  /** The same for the next calls under one key, before any other plan. */
  planFor: (key: string, ...faults: readonly (HostileFault | 'none')[]) => void;
  /** From now on nothing goes wrong that has not gone wrong already. */
  heal: () => void;
  truth: () => Truth;
  /** Calls and notices that are still on their way. */
  pending: () => number;
}>;

export type HostileOptions = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  name?: string;
  capabilities?: Partial<Omit<Capabilities, 'cancel'>> & {
    cancel?: Partial<Capabilities['cancel']>;
  };
  /** Funding accounts, all in one currency each. */
  accounts: Readonly<
    Record<string, Readonly<{ currency: string; minor: bigint; wallets?: readonly string[] }>>
  >;
  /** The probability of each fault, together at most 1. */
  faults?: Readonly<Partial<Record<HostileFault, number>>>;
  /** The probability that the answer to a query is lost. */
  loseQuery?: number;
  lateMs?: number;
  /** The caller gives up after this long. */
  timeoutMs?: number;
  /** Hears the provider's own calls; without it there are none. */
  hear?: (question: HttpQuestion) => void;
  /** Whether movements can be listed. */
  lists?: boolean;
}>;

export function createHostile(options: HostileOptions): Hostile {
  const { clock, timers, random, hear, lateMs = 1_500, timeoutMs = 1_000 } = options;
  const name = options.name ?? 'hostile';
  const capabilities: Capabilities = {
    resolvesBy: 'query',
    keyForMs: 24 * 3_600_000,
    pollMs: 250,
    notifies: hear !== undefined,
    ...options.capabilities,
    cancel: {
      unseen: 'bars',
      captured: 'reverses',
      forMs: 24 * 3_600_000,
      ...options.capabilities?.cancel,
    },
  };
  const secret = new Uint8Array(32).fill(name.length);
  const verify = createVerifier({ secret, clock });
  const planned: (HostileFault | 'none')[] = [];
  const plannedFor = new Map<string, (HostileFault | 'none')[]>();
  const overtaken: (() => void)[] = [];
  let isHealed = false;
  let pending = 0;

  // The books.
  const moved: Moved[] = [];
  const first = new Map<string, Readonly<{ question: string; word: Word; atMs: number }>>();
  const payments = new Map<string, Payment>();
  const barred = new Set<string>();
  const voided = new Set<string>();
  const left = new Map(Object.entries(options.accounts).map(([id, { minor }]) => [id, minor]));

  function move(kind: Moved['kind'], key: string, payment: Payment, minor: bigint): void {
    const { original, currency, funding } = payment;
    const amount = { currency, minor };
    moved.push({ number: moved.length + 1, key, original, kind, amount, atMs: clock.nowMs() });
    const change = { pay: -minor, hold: -minor, capture: 0n, release: minor, refund: minor }[kind];
    left.set(funding, left.get(funding)! + change);
  }

  function execute(call: Call): Word {
    const question = JSON.stringify(call, (_name, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    const known = first.get(call.key);
    const isKnown = known !== undefined && clock.nowMs() - known.atMs < capabilities.keyForMs;
    if (isKnown) return known.question === question ? known.word : { kind: 'conflict' };
    const word = barred.has(call.key) ? declined() : decide(call);
    // An unknown order is not remembered: asked again later, it may be known.
    if (word.kind !== 'unknown order') {
      first.set(call.key, { question, word, atMs: clock.nowMs() });
    }
    return word;
  }

  function decide(call: Call): Word {
    if (call.action === 'authorise') return authorise(call);
    const payment = payments.get(call.original);
    const { currency, minor } = call.amount;
    if (payment === undefined) {
      if (call.action !== 'void' || first.has(call.original)) return declined();
      if (capabilities.cancel.unseen === 'nothing') return { kind: 'unknown order' };
      barred.add(call.original);
      return done('voided');
    }
    if (currency !== payment.currency) return declined();
    const { held, captured, refunded } = fateOf(moved, call.original);
    switch (call.action) {
      case 'capture':
        if (held === 0n || minor > held) return declined();
        move('capture', call.key, payment, minor);
        if (held > minor) move('release', call.key, payment, held - minor);
        return done('captured');
      case 'refund':
        if (captured === 0n) return declined();
        if (refunded + minor > captured) return declined('refund_exceeds');
        move('refund', call.key, payment, minor);
        return done('refunded');
      case 'void':
        if (clock.nowMs() - payment.atMs > capabilities.cancel.forMs) return declined();
        if (held > 0n) move('release', call.key, payment, held);
        else if (capabilities.cancel.captured === 'refuses' || captured === refunded) {
          return declined();
        } else move('refund', call.key, payment, captured - refunded);
        voided.add(call.original);
        return done('voided');
    }
  }

  function authorise(call: Authorisation): Word {
    const { key, funding, amount, capture } = call;
    if (options.accounts[funding]?.currency !== amount.currency) return declined();
    if (left.get(funding)! < amount.minor) return declined();
    const { currency } = amount;
    const payment = { original: key, funding, currency, atMs: clock.nowMs() };
    payments.set(key, payment);
    move(capture === 'now' ? 'pay' : 'hold', key, payment, amount.minor);
    return done(capture === 'now' ? 'captured' : 'held');
  }

  function done(outcome: Extract<Definite, { kind: 'done' }>['outcome']): Word {
    return { kind: 'done', outcome, reference: `${name}-${moved.length}` };
  }

  // The wire.
  function chance(): number {
    const bytes = random(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
  }

  function draw(key: string): HostileFault | 'none' {
    const next = plannedFor.get(key)?.shift() ?? planned.shift();
    if (next !== undefined) return next;
    let at = chance();
    if (isHealed) return 'none';
    for (const fault of HOSTILE_FAULTS) {
      const share = options.faults?.[fault] ?? 0;
      if (at < share) return fault;
      at -= share;
    }
    return 'none';
  }

  /** Some milliseconds each way, so that calls overtake each other by themselves. */
  function travel(then: () => void, atLeastMs = 0): void {
    pending++;
    timers.after(atLeastMs + 1 + Math.floor(chance() * 20), () => {
      pending--;
      then();
    });
  }

  function call(question: Call): Promise<BackendAnswer> {
    const fault = draw(question.key);
    if (fault === 'unsent') return Promise.resolve({ kind: 'unsent', why: 'connection refused' });
    return new Promise((resolve) => {
      const stop = timers.after(timeoutMs, () => resolve(unknown('no answer in time')));
      const answer = (given: BackendAnswer) => {
        stop();
        resolve(given);
      };
      travel(() => arrive(question, fault, answer));
    });
  }

  function arrive(
    question: Call,
    fault: Exclude<HostileFault, 'unsent'> | 'none',
    answer: (given: BackendAnswer) => void,
  ): void {
    const run = () => {
      const isFirst = !first.has(question.key);
      const word = execute(question);
      if (isFirst && (word.kind === 'done' || word.kind === 'declined')) {
        if (fault === 'noticeLate') travel(() => tell(question.key, word), lateMs);
        else if (fault === 'noticeFirst') tell(question.key, word);
        else if (fault !== 'noticeLost') travel(() => tell(question.key, word));
        if (fault === 'noticeTwice') travel(() => tell(question.key, word));
      }
      // Whatever was overtaken comes now.
      for (const late of overtaken.splice(0)) late();
      return word;
    };
    const runAndAnswer = () => {
      const word = run();
      travel(() => answer(heard(question.key, word)));
    };
    switch (fault) {
      case 'loseBefore':
        return answer(unknown('connection broke'));
      case 'loseAfter':
        run();
        return answer(unknown('connection broke'));
      case 'late':
        return travel(runAndAnswer, lateMs);
      case 'later':
        travel(run, lateMs);
        return answer(unknown('in process', toBody({ key: question.key, kind: 'in process' })));
      case 'twice':
        travel(run, lateMs);
        return runAndAnswer();
      case 'disordered': {
        let isDone = false;
        const once = () => {
          if (!isDone) runAndAnswer();
          isDone = true;
        };
        overtaken.push(once);
        return travel(once, lateMs);
      }
      default:
        return runAndAnswer();
    }
  }

  function tell(key: string, word: Word): void {
    if (hear === undefined) return;
    const call = signCall(
      { secret, clock, random },
      { method: 'POST', url: `http://bridge${path}`, body: { key, ...word }, timeoutMs },
    );
    hear({ method: 'POST', path, headers: call.headers, body: call.body });
  }

  const path = `/v1/notifications/${name}`;

  function stateOf(key: string): Word | undefined {
    const known = first.get(key);
    if (known === undefined) return barred.has(key) ? done('voided') : undefined;
    if (capabilities.resolvesBy === 'replay' || !payments.has(key)) return known.word;
    // A provider that is asked tells how things stand now, not what it once answered.
    const isHeld = fateOf(moved, key).held > 0n;
    const outcome = voided.has(key) ? 'voided' : isHeld ? 'held' : 'captured';
    return { ...known.word, outcome } as Word;
  }

  function query(key: string): Promise<BackendState> {
    return new Promise((resolve) => {
      travel(() => {
        const word = stateOf(key);
        const isLost = chance() < (isHealed ? 0 : (options.loseQuery ?? 0));
        travel(() => {
          if (isLost) return resolve(unknown('connection broke'));
          if (word !== undefined) return resolve(heard(key, word));
          resolve({ kind: 'unseen', received: toBody({ key, kind: 'unseen' }) });
        });
      });
    });
  }

  function parseNotification(question: HttpQuestion) {
    verify(question);
    const { key, ...word } = (fromBody(question.body) ?? {}) as Word & { key: string };
    const state = heard(key, word as Word, question.body);
    if (state.kind === 'done' || state.kind === 'declined') return { key, state };
    throw new PaymentError('malformed', 'Not a notice.');
  }

  const backend: Backend = {
    name,
    capabilities,
    authorise: (authorisation) => call({ action: 'authorise', ...authorisation }),
    capture: (movement) => call({ action: 'capture', ...movement }),
    void: (movement) => call({ action: 'void', ...movement }),
    refund: (movement) => call({ action: 'refund', ...movement }),
    query,
    parseNotification,
    fundingLinked: async (funding, wallet) =>
      options.accounts[funding]?.wallets?.includes(wallet) ?? false,
    ...(options.lists && {
      movements: async (after: number) => moved.filter(({ number }) => number > after).slice(0, 3),
    }),
  };
  return Object.freeze({
    backend,
    plan: (...faults: readonly (HostileFault | 'none')[]) => void planned.push(...faults),
    planFor: (key: string, ...faults: readonly (HostileFault | 'none')[]) =>
      void plannedFor.set(key, [...(plannedFor.get(key) ?? []), ...faults]),
    heal() {
      isHealed = true;
      planned.length = 0;
      plannedFor.clear();
    },
    truth: () => ({
      moved: [...moved],
      of: (key: string) => fateOf(moved, key),
      balance: (funding: string) => left.get(funding) ?? 0n,
    }),
    pending: () => pending,
  });
}

/** What became of the money of one authorisation, added up from movements. */
export function fateOf(moved: readonly Moved[], original: string): Fate {
  const sum = (...kinds: readonly Moved['kind'][]) =>
    moved
      .filter((movement) => movement.original === original && kinds.includes(movement.kind))
      .reduce((total, { amount }) => total + amount.minor, 0n);
  return Object.freeze({
    held: sum('hold') - sum('capture', 'release'),
    captured: sum('pay', 'capture'),
    refunded: sum('refund'),
  });
}

/** Bytes from a seed: SHA-256 of seed and position. */
export function seededRandom(seed: number | string): Random {
  let position = 0;
  return (count) => {
    const parts: number[] = [];
    while (parts.length < count) {
      parts.push(...createHash('sha256').update(`${seed} ${position++}`).digest());
    }
    return Uint8Array.from(parts.slice(0, count));
  };
}

type Call =
  | (Authorisation & Readonly<{ action: 'authorise' }>)
  | (Movement & Readonly<{ action: 'capture' | 'void' | 'refund' }>);

/** What the provider says, as JSON. */
type Word = Definite | Readonly<{ kind: 'conflict' | 'unknown order' }>;

type Payment = Readonly<{ original: string; funding: string; currency: string; atMs: number }>;

function declined(reason: 'backend_declined' | 'refund_exceeds' = 'backend_declined'): Word {
  return { kind: 'declined', reason };
}

/** The adapter's part: what it makes of what it hears. */
function heard(key: string, word: Word, received = toBody({ key, ...word })): BackendAnswer {
  if (word.kind === 'done' || word.kind === 'declined') return { ...word, received };
  return unknown(word.kind, received);
}

function unknown(why: string, received?: Uint8Array): Extract<BackendAnswer, { kind: 'unknown' }> {
  return { kind: 'unknown', why, ...(received && { received }) };
}
