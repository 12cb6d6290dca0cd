/**
 * The services beside a bridge, as programs for machines of a world: the product's own risk service
 * and ledger, and everything that real ones do to their callers (away, slow, errors, nonsense, a
 * firm no), begun and ended while they run.
 *
 * A service that fails may have done what it was asked for or not, and chance decides; what it
 * keeps is always what it would have kept. `later` and its kin are the ledger's own faults.
 */
import { openBooks } from '../broker/ledger/books.ts';
import { createNotices } from '../broker/ledger/notices.ts';
import { FAULTS, type Faults, createLedgerService } from '../broker/ledger/service.ts';
import { fromBody, toBody } from '../broker/hmac.ts';
import { openHistory } from '../broker/risk/history.ts';
import { THRESHOLDS, type Thresholds, createRiskService } from '../broker/risk/service.ts';
import { toHex, utf8 } from '../src/bytes.ts';
import type { Realm } from '../src/cose.ts';
import { OperatorError } from '../src/errors.ts';
import { RISK_PRUNE_MS } from '../src/limits.ts';
import type { Clock, Database, Http, HttpQuestion, HttpReply } from '../src/platform.ts';
import type { Random, Timers } from '../src/platform.ts';
import type { Serve } from './calls.ts';
import type { Chance } from './chance.ts';
import type { LedgerTrouble, RiskTrouble } from './plan.ts';

/** What a service needs of its machine. */
export type ServicePorts = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  openDatabase: (path: string) => Database;
  http: Http;
  serve: Serve;
}>;

export type Service<Trouble> = Readonly<{
  /** `failed` resolves when its disk has failed, so that it has to be started again. */
  program: (ports: ServicePorts) => Readonly<{ failed: Promise<OperatorError> }>;
  /**
   * Begins a trouble that befalls this share of all calls (`away` all of them), in this life and
   * the next ones; the returned function ends it.
   */
  strike: (trouble: Trouble, share: number) => () => void;
}>;

/** Where the services of a world listen. */
export const SERVICE_PORT = 80;

/** A risk service, whose answers to `deny` and `step-up` are recorded like all others. */
export function createRisk(
  secret: Uint8Array,
  chance: Chance,
  environment: Realm['environment'],
): Service<RiskTrouble> {
  const troubles = createTroubles(chance);
  const thresholds: Thresholds = {
    get deny() {
      return troubles.befalls('deny') ? 0 : THRESHOLDS.deny;
    },
    get stepUp() {
      return troubles.befalls('step-up') ? 0 : THRESHOLDS.stepUp;
    },
  };
  return Object.freeze({
    program(ports: ServicePorts) {
      const { clock, timers } = ports;
      const database = ports.openDatabase(RISK_DATABASE);
      const history = openHistory({ database, clock });
      const prune = () => {
        timers.after(RISK_PRUNE_MS, prune);
        try {
          history.prune();
        } catch {
          // The disk refuses: the next time will do.
        }
      };
      timers.after(RISK_PRUNE_MS, prune);
      const { answer } = createRiskService({
        ...{ history, secret, clock, timers, thresholds, environment },
      });
      open(ports, troubles, answer);
      return { failed: failureOf(database) };
    },
    strike: troubles.strike,
  });
}

/** A ledger that the bridge calls `name`, and that tells the one at `bridgeUrl` what came of it. */
export function createLedger(
  secret: Uint8Array,
  chance: Chance,
  name: string,
  bridgeUrl: string,
  environment: Realm['environment'],
): Service<LedgerTrouble> {
  const troubles = createTroubles(chance);
  const random = chance.fork('faults').bytes;
  const faults: Faults & Readonly<{ random: Random }> = Object.defineProperties(
    {
      random,
      get lateMs() {
        return chance.between(...LATE_MS);
      },
    },
    // Read at each call, so that what begins now counts from now on.
    Object.fromEntries(
      FAULTS.map((fault) => [fault, { get: () => troubles.share(fault), enumerable: true }]),
    ),
  );
  return Object.freeze({
    program(ports: ServicePorts) {
      const { clock, timers, http } = ports;
      const database = ports.openDatabase(LEDGER_DATABASE);
      const books = openBooks({ database, clock });
      const caller = { http, timers, random: ports.random, clock, secret };
      const notices = createNotices({ ...caller, url: bridgeUrl, name });
      const { answer } = createLedgerService({
        ...{ books, secret, clock, timers, notices, faults, environment },
      });
      open(ports, troubles, answer);
      return { failed: failureOf(database) };
    },
    strike: troubles.strike,
  });
}

/** Where each keeps what it knows. */
export const LEDGER_DATABASE = '/ledger.db';
export const RISK_DATABASE = '/risk.db';
/** What a ledger does late comes after its caller has given up, or long after. */
const LATE_MS = [2_100, 20_000] as const;

type Answer = (question: HttpQuestion) => Promise<HttpReply>;

type Trouble = RiskTrouble | LedgerTrouble;

type Troubles = Readonly<{
  strike: (trouble: Trouble, share: number) => () => void;
  /** The share of calls that a trouble befalls now, at most 1. */
  share: (trouble: Trouble) => number;
  befalls: (trouble: Trouble) => boolean;
  chance: Chance;
  /** Calls back whenever a trouble begins or ends; for one life, in the place of the last one. */
  onChange: (hear: () => void) => void;
}>;

function createTroubles(chance: Chance): Troubles {
  const present = new Set<Readonly<{ trouble: Trouble; share: number }>>();
  let hear = () => {};

  function share(trouble: Trouble): number {
    let sum = 0;
    for (const one of present) if (one.trouble === trouble) sum += one.share;
    return Math.min(sum, 1);
  }

  return Object.freeze({
    chance,
    share,
    befalls: (trouble: Trouble) => share(trouble) > 0 && chance.happens(share(trouble)),
    onChange: (next: () => void) => void (hear = next),
    strike(trouble: Trouble, share: number) {
      const one = { trouble, share };
      present.add(one);
      hear();
      return () => {
        present.delete(one);
        hear();
      };
    },
  });
}

/** Lets a service answer, unless it is away, with what befalls its answers. */
function open({ serve, timers }: ServicePorts, troubles: Troubles, answer: Answer): void {
  const { chance, befalls } = troubles;
  const pause = () =>
    new Promise<void>((resolve) => void timers.after(chance.between(...SLOW_MS), resolve));

  async function troubled(question: HttpQuestion): Promise<HttpReply> {
    if (befalls('refuses')) return reply(chance.pick([400, 401, 403, 404, 409]), REFUSAL);
    const isError = befalls('error');
    const error = reply(chance.pick([429, 500, 502, 503]), '<h1>Bad Gateway</h1>');
    if (isError && chance.happens(0.5)) return error;
    const isSlow = befalls('slow');
    const isLate = chance.happens(0.5);
    if (isSlow && !isLate) await pause();
    const answered = await answer(question);
    if (isSlow && isLate) await pause();
    if (isError) return error;
    return answered !== 'drop' && befalls('garbage') ? garbled(answered, chance) : answered;
  }

  let server: ReturnType<Serve> | undefined;
  const follow = () => {
    const isAway = troubles.share('away') > 0;
    if (isAway) void server?.close();
    if (isAway) server = undefined;
    else server ??= serve(SERVICE_PORT, troubled);
  };
  troubles.onChange(follow);
  follow();
}

/** How long a slow service takes; callers wait 0.8 and 2 s. */
const SLOW_MS = [200, 6_000] as const;
const REFUSAL = '{"error":"Not today."}';

/** An answer that was damaged, cut short, mixed up with another's, or is nobody's. */
function garbled(answer: Exclude<HttpReply, 'drop'>, chance: Chance): HttpReply {
  const { body } = answer;
  switch (chance.below(5)) {
    case 0:
      return { ...answer, body: new Uint8Array() };
    case 1:
      return { ...answer, body: body.subarray(0, chance.below(body.length)) };
    case 2:
      return { ...answer, body: chance.bytes(body.length) };
    case 3:
      return reply(200, '{"status":"ok"}');
    default:
      return { ...answer, body: mixedUp(body, chance) };
  }
}

/** A whole answer about another key or id. */
function mixedUp(body: Uint8Array, chance: Chance): Uint8Array {
  const value = fromBody(body);
  if (typeof value !== 'object' || value === null) return body.subarray(1);
  const other = toHex(chance.bytes(16));
  return toBody({ ...value, ...('id' in value ? { id: other } : { key: other }) });
}

function reply(status: number, text: string): Exclude<HttpReply, 'drop'> {
  return Object.freeze({ status, body: utf8(text) });
}

async function failureOf({ failed }: Database): Promise<OperatorError> {
  const { message, cause } = await failed;
  return new OperatorError('storage', message, { cause });
}
