/**
 * A plan that somebody hands in as a file, checked down to who is meant in it.
 *
 * The world carries out what it is told and asks nothing: an act of somebody who is not there would
 * crash it, or pass unnoticed and be taken for a promise that was kept. So the schemas are made for
 * the site of each plan, with the names of who is there as the words that are known.
 */
import * as z from 'zod/mini';
import { FAULTS as LEDGER_FAULTS } from '../broker/ledger/service.ts';
import { allowed } from '../src/config.ts';
import { OperatorError } from '../src/errors.ts';
import {
  NAME_BYTES_MAX,
  ORDER_LINES_MAX,
  STORM_CAST_MAX,
  STORM_DRIFT_PPM_MAX,
  STORM_ENTRIES_MAX,
  STORM_JUMP_MS_MAX,
  STORM_MINOR_MAX,
  STORM_MS_MAX,
  STORM_PLAN_BYTES_MAX,
} from '../src/limits.ts';
import { CURRENCIES } from '../src/money.ts';
import { namesIn } from './census.ts';
import type { ActKind, FaultKind, NetworkTrouble, Plan } from './plan.ts';
import { FORGERIES, ROGUE_ASKS } from './plan.ts';
import { unknown } from './scenario/source.ts';

/**
 * The plan in a file's text. Throws OperatorError `config` with one line for what is none, or what
 * no world can carry out: the entry, what stands there and what was probably meant.
 */
export function readDraft(text: string, file: string): Plan {
  const none = (why: string, cause?: unknown) => {
    const kept = 'saytap storm --seeds N --out FILE keeps that of a failure';
    return new OperatorError('config', `${file} is no plan (${why}): ${kept}`, { cause });
  };
  if (text.length > STORM_PLAN_BYTES_MAX) {
    throw none(`longer than ${STORM_PLAN_BYTES_MAX} characters`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw none('no JSON', cause);
  }
  if (!isPlanlike(value)) throw none('without site, acts and faults');
  const site = SITE.safeParse(value['site']);
  const schemas = schemasFor(site.success ? namesIn(site.data) : undefined);
  const read = schemas.plan.safeParse(value);
  // The value itself and no copy: a storm's hash is over its faults as they are written.
  const plan = value as unknown as Plan;
  const wrong = read.success ? contradictionIn(plan) : problem(read.error.issues, value, schemas);
  if (wrong === undefined) return Object.freeze(plan);
  // What stands in a file may break lines, or be an order to a terminal.
  throw new OperatorError('config', `${file}: ${wrong.replaceAll(/[\s\p{C}]+/gu, ' ')}`);
}

type Planlike = Readonly<Record<string, unknown>>;

/** Whether somebody may have meant a plan. */
function isPlanlike(value: unknown): value is Planlike {
  const isNamed = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isNamed && ['site', 'acts', 'faults'].some((field) => field in value);
}

// ── what it looks like ───────────────────────────────────────────────────────────────────────────

const whole = (most: number) => z.int().check(z.minimum(1), z.maximum(most));
const within = (most: number) => z.number().check(z.minimum(-most), z.maximum(most));
const ms = z.int().check(z.minimum(0), z.maximum(STORM_MS_MAX));
const minor = whole(STORM_MINOR_MAX);
const share = z.number().check(z.minimum(0), z.maximum(1));
const SEED = new RegExp(`^.{1,${NAME_BYTES_MAX}}$`, 's');
/** Whoever revokes has a phone of that name, and its topics. */
const name = z
  .string()
  .check(z.regex(/^[a-z0-9-]{1,40}$/, '1 to 40 small letters, digits and hyphens'));
const mood = z.enum([
  ...(['sure', 'hasty', 'speaks first', 'cancels'] as const),
  ...(['regrets', 'walks off', 'takes it off', 'impatient'] as const),
]);

const SITE = z.strictObject({
  wallets: whole(STORM_CAST_MAX),
  glasses: whole(STORM_CAST_MAX),
  kiosks: whole(STORM_CAST_MAX),
  agents: whole(STORM_CAST_MAX),
  ledgers: z.literal([1, 2]),
  rogues: z.exactOptional(z.literal(1)),
  environment: z.exactOptional(z.literal('live')),
});

/** A schema for every field of every kind, so that none is forgotten that is added above. */
type Shapes<Kind extends Readonly<Record<Tag, string>>, Tag extends string> = {
  readonly [Name in Kind[Tag]]: Shape<Named<Kind, Tag, Name>, Tag>;
};
type Shape<Entry, Tag> = {
  readonly [Field in Exclude<keyof Entry, Tag>]-?: z.ZodMiniType<Entry[Field]>;
};
type Named<Kind, Tag extends string, Name> =
  Kind extends Readonly<Record<Tag, infer Names>> ? (Name extends Names ? Kind : never) : never;

/** What the entries of a plan look like when these are there; without `names` anybody may be. */
function schemasFor(names: ReturnType<typeof namesIn> | undefined) {
  const one = (known: readonly string[] | undefined) => (known ? z.enum(known) : z.string());
  const devices = names && [...names.glasses, ...names.kiosks, ...names.agents];
  const machines = names && ['bridge', 'risk', ...names.ledgers, ...devices!];
  const device = one(devices);
  const machine = one(machines);
  const hosts = z
    .array(one(machines && [...machines, 'broker']))
    .check(z.minLength(1), z.maxLength(STORM_CAST_MAX));
  const glasses = one(names?.glasses);
  const [kiosk, wallet, payee] = [one(names?.kiosks), one(names?.wallets), one(names?.shops)];

  const customer = z.strictObject({ device: glasses, afterMs: ms, mood, thinkMs: ms });
  const then = z.strictObject({ deed: z.enum(['capture', 'void']), afterMs: ms });
  const acts: Shapes<ActKind, 'act'> = {
    pay: {
      ...{ device: glasses, payee, minor, how: z.enum(['voice', 'two sentences', 'tag']) },
      ...{ heard: z.exactOptional(minor), isAttentive: z.boolean(), mood, thinkMs: ms },
    },
    order: {
      kiosk,
      currency: z.exactOptional(z.enum(CURRENCIES)),
      prices: z.array(minor).check(z.minLength(1), z.maxLength(ORDER_LINES_MAX)),
      customers: z.array(customer).check(z.maxLength(STORM_CAST_MAX)),
    },
    collect: { kiosk, wallet, minor, mood, thinkMs: ms },
    clerk: {
      ...{ kiosk, deed: z.enum(['refund', 'capture', 'void']), minor: z.exactOptional(minor) },
      ...{ mood, thinkMs: ms },
    },
    agent: { agent: one(names?.agents), payee, minor, then: z.exactOptional(then) },
    revoke: { wallet, holder: device, all: z.exactOptional(z.literal(true)) },
    operator: { suspends: z.exactOptional(device) },
    forge: { forgery: z.enum(FORGERIES), device, way: z.enum(['up', 'down']) },
    rogue: { rogue: one(names?.rogues), ask: z.enum(ROGUE_ASKS), minor },
  };
  const troubles: Shapes<NetworkTrouble, 'trouble'> = {
    lose: { share },
    delay: { share, ms },
    repeat: { share, ms },
    cut: {},
    'half-open': { way: z.enum(['up', 'down']) },
  };
  const how = z.enum(['kill', 'power cut']);
  const faults: Omit<Shapes<FaultKind, 'fault'>, 'network'> = {
    kill: { machine, downMs: ms },
    'power cut': { machine, downMs: ms },
    'die at call': {
      ...{ machine, call: z.int().check(z.minimum(1)), side: z.enum(['before', 'after']), how },
      downMs: ms,
    },
    'replace bridge': { downMs: ms },
    'back up bridge': {},
    'restore bridge': { downMs: ms },
    'old policy': {},
    'restore device': { machine: device, ageMs: ms },
    'clone device': { machine: device },
    'clock jump': { machine, ms: within(STORM_JUMP_MS_MAX) },
    'clock drift': { machine, ppm: within(STORM_DRIFT_PPM_MAX) },
    disk: { machine, trouble: z.enum(['full', 'failing write', 'failing sync', 'slow']) },
    partition: { hosts },
    'broker restart': { downMs: ms },
    risk: {
      trouble: z.enum(['away', 'slow', 'garbage', 'error', 'deny', 'step-up']),
      share,
    },
    ledger: {
      ledger: one(names?.ledgers),
      trouble: z.enum(['away', 'slow', 'garbage', 'error', 'refuses', ...LEDGER_FAULTS]),
      share,
    },
  };
  const happens = { name, atMs: ms };
  const breaks = { ...happens, untilMs: z.exactOptional(ms) };
  const weather = { ...breaks, fault: z.literal('network'), hosts: z.exactOptional(hosts) };
  const kinds = {
    acts: kindsOf('act', acts, happens),
    faults: kindsOf('fault', faults, breaks),
    network: kindsOf('trouble', troubles, weather),
  };
  const network = z.discriminatedUnion('trouble', choices(kinds.network));
  const listOf = (entry: z.ZodMiniType) => z.array(entry).check(z.maxLength(STORM_ENTRIES_MAX));
  const plan = z.strictObject({
    seed: z.string().check(z.regex(SEED, `a text of 1 to ${NAME_BYTES_MAX} characters`)),
    algorithm: z.enum(['ES256', 'EdDSA']),
    site: SITE,
    acts: listOf(z.discriminatedUnion('act', choices(kinds.acts))),
    faults: listOf(z.discriminatedUnion('fault', [network, ...choices(kinds.faults)])),
    healMs: ms,
    endMs: ms,
  } satisfies Shape<Record<keyof Plan, unknown>, never>);
  return { plan, kinds, customer, then };
}

/** An object for each kind: what it is told by, what all have, and its own fields. */
function kindsOf(tag: string, shapes: Readonly<Record<string, Fields>>, all: Fields) {
  const schemas = Object.entries(shapes).map(
    ([kind, own]) => [kind, z.strictObject({ ...all, [tag]: z.literal(kind), ...own })] as const,
  );
  return new Map(schemas);
}

type Fields = Readonly<Record<string, z.ZodMiniType>>;

/** As zod takes the choices of a union. */
function choices<T>(kinds: ReadonlyMap<string, T>): readonly [T, ...T[]] {
  return [...kinds.values()] as [T, ...T[]];
}

// ── what is wrong with it ────────────────────────────────────────────────────────────────────────

type Schemas = ReturnType<typeof schemasFor>;

/** The first problem; a misspelt field rather than the one that is missing for it. */
function problem(
  issues: readonly z.core.$ZodIssue[],
  plan: Planlike,
  { plan: whole, kinds, customer, then }: Schemas,
): string {
  const first = issues[0]!;
  const beside = first.path.slice(0, -1).join('.');
  const misspelt = issues.find(
    ({ code, path }) => code === 'unrecognized_keys' && path.join('.') === beside,
  );
  const issue = misspelt ?? first;
  const where = placeOf(issue.path, plan);
  if (issue.code === 'unrecognized_keys') {
    return `${where}: ${unknown(issue.keys[0]!, 'a field of it', fieldsAt(issue.path))}`;
  }
  const found = valueAt(plan, issue.path);
  const words =
    issue.code === 'invalid_value'
      ? issue.values.map(String)
      : 'options' in issue && issue.options?.map(String);
  if (words && typeof found === 'string') return `${where}: ${unknown(found, 'known here', words)}`;
  return `${where} ${shown(found)}; allowed: ${words ? words.join(', ') : allowed(issue)}`;

  function fieldsAt(path: readonly PropertyKey[]): readonly string[] {
    const [list, , inner] = path;
    if (list === undefined) return Object.keys(whole.shape);
    if (list === 'site') return Object.keys(SITE.shape);
    if (inner !== undefined) return Object.keys((inner === 'then' ? then : customer).shape);
    const { act, fault, trouble } = valueAt(plan, path) as Readonly<Record<string, string>>;
    const own = kinds.acts.get(act!) ?? kinds.faults.get(fault!) ?? kinds.network.get(trouble!);
    return Object.keys(own!.shape);
  }
}

/** What no single entry shows. */
function contradictionIn(plan: Plan): string | undefined {
  const { healMs, endMs } = plan;
  if (endMs < healMs) return `endMs is ${endMs}; allowed: at least healMs, ${healMs}`;
  const names = new Set<string>();
  for (const list of ['acts', 'faults'] as const) {
    for (const [n, entry] of plan[list].entries()) {
      const { atMs } = entry;
      const untilMs = 'untilMs' in entry ? entry.untilMs : atMs;
      const where = placeOf([list, n], plan);
      if (names.has(entry.name)) return `${where}: an entry before it has the same name`;
      names.add(entry.name);
      if (atMs > healMs) return `${where}, atMs is ${atMs}; allowed: at most healMs, ${healMs}`;
      if (untilMs < atMs) return `${where}, untilMs is ${untilMs}; allowed: at least atMs, ${atMs}`;
    }
  }
  return undefined;
}

/** As in "acts[3] (order-17), customers[0].device". */
function placeOf(path: readonly PropertyKey[], plan: unknown): string {
  const words = (part: readonly PropertyKey[]) =>
    part.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  const [list, n, ...inner] = path;
  if (list === undefined) return 'the plan';
  if (typeof n !== 'number') return words(path).slice(1);
  const called = valueAt(plan, [list, n, 'name']);
  const entry = words([list, n]).slice(1);
  const named = typeof called === 'string' ? `${entry} (${called.slice(0, 40)})` : entry;
  return [named, words(inner).slice(1)].filter((one) => one !== '').join(', ');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) at = (at as Readonly<Record<PropertyKey, unknown>> | undefined)?.[key];
  return at;
}

function shown(value: unknown): string {
  if (value === undefined) return 'is missing';
  if (Array.isArray(value)) return `is a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'is an object';
  return `is ${JSON.stringify(value).slice(0, 60)}`;
}
