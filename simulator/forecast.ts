/**
 * Draws the plan of a seed: who is there, a crowded quarter of an hour, and everything that breaks
 * in it.
 *
 * Every kind of act and of fault can come up in every seed, and what comes up together is left to
 * chance: a storm is to find what nobody thought of. The weights say how much of each it takes to
 * see it meet the others, not how often it happens in the field.
 */
import { FAULTS as LEDGER_FAULTS } from '../broker/ledger/service.ts';
import { STORM_JUMP_MS_MAX } from '../src/limits.ts';
import { type Chance, createChance } from './chance.ts';
import { ORDER_LINES_MAX } from '../src/limits.ts';
import type { Act, ActKind, Fault, FaultKind, Mood, NetworkTrouble, Plan } from './plan.ts';
import { FORGERIES, ROGUE_ASKS } from './plan.ts';
import type { SiteShape } from './census.ts';

/** The plan of a seed; the same for ever, as long as this file is. */
export function planOf(seed: number): Plan {
  const chance = createChance(`storm ${seed}`);
  const own = chance.fork('site');
  const size = SIZES[own.weigh({ corner: 76, day: 20, quarter: 4 })];
  const drawn = (name: Exclude<keyof Size, 'lastsS'>) => own.between(...size[name]);
  const site: SiteShape = {
    wallets: drawn('wallets'),
    glasses: drawn('glasses'),
    kiosks: drawn('kiosks'),
    agents: drawn('agents'),
    ledgers: own.happens(0.5) ? 2 : 1,
    rogues: 1,
    ...(chance.fork('environment').happens(0.15) && { environment: 'live' }),
  };
  const healMs = FIRST_ACT_MS + own.between(...size.lastsS) * 1000;
  const acts = actsOf(site, drawn('acts'), healMs, chance.fork('acts'));
  const faults = faultsOf(site, drawn('faults'), healMs, chance.fork('faults'));
  const together = togetherOf(site, healMs, acts, chance.fork('together'));
  return Object.freeze({
    seed: String(seed),
    // Every hundredth world signs as most of the field does, which costs ten times as much.
    algorithm: seed % 100 === 0 ? 'ES256' : 'EdDSA',
    site,
    acts: byTime([...acts, ...together.acts]),
    faults: byTime([...faults, ...together.faults]),
    healMs,
    endMs: healMs + HEALTHY_MS,
  });
}

type Size = Readonly<Record<keyof typeof CORNER, readonly [number, number]>>;

/**
 * How much there is of everything, from and to. What it costs to look at a world grows with who is
 * in it, and most of what goes wrong takes few: so most are small, some of those last long, and in
 * some there are dozens.
 */
const CORNER = {
  wallets: [2, 4],
  glasses: [4, 6],
  kiosks: [2, 3],
  agents: [2, 3],
  acts: [140, 165],
  faults: [20, 28],
  lastsS: [180, 300],
} as const satisfies Record<string, readonly [number, number]>;
const SIZES: Readonly<Record<'corner' | 'day' | 'quarter', Size>> = Object.freeze({
  corner: CORNER,
  day: { ...CORNER, lastsS: [600, 900] },
  quarter: {
    wallets: [5, 9],
    glasses: [12, 18],
    kiosks: [5, 8],
    agents: [3, 6],
    acts: [180, 260],
    faults: [30, 60],
    lastsS: [400, 900],
  },
});

/** Everybody has started and knows the time. */
const FIRST_ACT_MS = 15_000;
/** After the healing everything ends within this, or it is an error. */
const HEALTHY_MS = 3_600_000;

// ── people ───────────────────────────────────────────────────────────────────────────────────────

function actsOf(site: SiteShape, count: number, healMs: number, chance: Chance): readonly Act[] {
  return Array.from({ length: count }, (_, n): Act => {
    const own = chance.fork(String(n));
    const atMs = own.between(FIRST_ACT_MS, healMs - 5_000);
    const kind = own.weigh(ACTS);
    return { name: `${kind}-${n}`, atMs, ...actOf(kind, site, own) };
  });
}

const ACTS = {
  pay: 100,
  order: 40,
  collect: 40,
  clerk: 14,
  agent: 70,
  revoke: 3,
  operator: 5,
  forge: 14,
  rogue: 12,
};

function actOf(kind: keyof typeof ACTS, site: SiteShape, own: Chance): ActKind {
  const kiosk = one('kiosk', site.kiosks, own);
  switch (kind) {
    case 'pay': {
      const minor = amountOf(own);
      return {
        act: 'pay',
        device: one('glasses', site.glasses, own),
        payee: one('shop', Math.max(1, site.kiosks - 1), own),
        minor,
        how: own.weigh({ voice: 6, 'two sentences': 2, tag: 3 }),
        ...(own.happens(0.08) && { heard: own.pick([minor * 10, minor + 100, amountOf(own)]) }),
        isAttentive: own.happens(0.8),
        mood: moodOf(own),
        thinkMs: thoughtOf(own),
      };
    }
    case 'order':
      return {
        act: 'order',
        kiosk,
        ...(own.fork('currency').happens(0.04) && { currency: 'EUR' }),
        prices: Array.from(
          { length: own.fork('feast').happens(0.015) ? ORDER_LINES_MAX : own.between(1, 4) },
          () => own.between(1_00, 15_00),
        ),
        customers: Array.from({ length: own.weigh({ 1: 8, 2: 3, 3: 1 }) === '1' ? 1 : 2 }, () => ({
          device: one('glasses', site.glasses, own),
          afterMs: own.between(200, 8_000),
          mood: moodOf(own),
          thinkMs: thoughtOf(own),
        })),
      };
    case 'collect':
      return {
        act: 'collect',
        kiosk,
        wallet: one('wallet', site.wallets, own),
        minor: own.between(50, 45_00),
        mood: moodOf(own),
        thinkMs: thoughtOf(own),
      };
    case 'clerk':
      return {
        act: 'clerk',
        kiosk,
        deed: own.weigh({ refund: 8, capture: 1, void: 1 }),
        ...(own.happens(0.5) && { minor: own.between(1, 10_00) }),
        mood: own.weigh({ sure: 6, cancels: 1, 'walks off': 1 }),
        thinkMs: thoughtOf(own),
      };
    case 'agent':
      return {
        act: 'agent',
        agent: one('agent', site.agents, own),
        payee: one('shop', Math.max(1, site.kiosks - 1), own),
        minor: own.between(10, 5_20),
        ...(own.happens(0.3) && {
          then: { deed: own.pick(['capture', 'void']), afterMs: own.between(500, 60_000) },
        }),
      };
    case 'revoke': {
      const n = own.below(site.glasses);
      const wallet = `wallet-${(n % site.wallets) + 1}`;
      return {
        act: 'revoke',
        wallet,
        holder: `glasses-${n + 1}`,
        ...(own.happens(0.2) && { all: true }),
      };
    }
    case 'operator':
      return { act: 'operator', ...(own.happens(0.3) && { suspends: anyDevice(site, own) }) };
    case 'forge':
      return {
        act: 'forge',
        forgery: own.pick(FORGERIES),
        device: anyDevice(site, own),
        way: own.weigh({ up: 2, down: 1 }),
      };
    case 'rogue':
      return {
        act: 'rogue',
        rogue: 'rogue-1',
        ask: own.pick(ROGUE_ASKS.filter((ask) => ask !== 'flood')),
        minor: own.between(10, 1_50),
      };
  }
}

const MOODS: Readonly<Record<Mood, number>> = {
  sure: 60,
  hasty: 6,
  'speaks first': 6,
  cancels: 5,
  regrets: 8,
  'walks off': 3,
  'takes it off': 3,
  impatient: 8,
};
const moodOf = (own: Chance): Mood => own.weigh(MOODS);

/** Every kind of act there is, by the name under which it is counted. */
export const ACT_NAMES: readonly string[] = Object.freeze(
  Object.keys(ACTS).flatMap((kind) => {
    switch (kind) {
      case 'pay':
      case 'collect':
        return Object.keys(MOODS).map((mood) => `${kind} ${mood}`);
      case 'order':
        return [kind, `${kind} foreign`];
      case 'clerk':
        return ['refund', 'capture', 'void'].map((deed) => `${kind} ${deed}`);
      case 'operator':
        return ['suspends', 'resumes'].map((deed) => `${kind} ${deed}`);
      case 'forge':
        return FORGERIES.flatMap((one) => [`${kind} ${one} up`, `${kind} ${one} down`]);
      case 'rogue':
        return ROGUE_ASKS.map((ask) => `${kind} ${ask}`);
      default:
        return [kind];
    }
  }),
);

/** Minor units: mostly what a lunch costs, rarely more than is allowed. */
function amountOf(own: Chance): number {
  return own.weigh({ small: 6, lunch: 10, dear: 2 }) === 'dear'
    ? own.between(50_00, 400_00)
    : own.between(80, 60_00);
}

/** Most answer soon; some just before, or after, the question is over. */
function thoughtOf(own: Chance): number {
  return own.happens(0.04) ? own.between(19_900, 20_100) : own.between(500, 4_000);
}

// ── what breaks ──────────────────────────────────────────────────────────────────────────────────

function faultsOf(
  site: SiteShape,
  count: number,
  healMs: number,
  chance: Chance,
): readonly Fault[] {
  return Array.from({ length: count }, (_, n): Fault => {
    const own = chance.fork(String(n));
    const atMs = own.between(FIRST_ACT_MS, healMs - 20_000);
    const kind = own.weigh(FAULTS);
    const fault = faultOf(kind, site, healMs, own);
    const lengthMs = lastsFor(fault, healMs, own);
    return {
      name: `${kind}-${n}`.replaceAll(' ', '-'),
      atMs,
      ...(lengthMs !== undefined && { untilMs: Math.min(atMs + lengthMs, healMs) }),
      ...fault,
    };
  });
}

const FAULTS: Readonly<Record<FaultKind['fault'], number>> = {
  kill: 14,
  'power cut': 14,
  'die at call': 30,
  'replace bridge': 3,
  'back up bridge': 5,
  'restore bridge': 2,
  'restore device': 3,
  'clone device': 3,
  'clock jump': 5,
  'clock drift': 4,
  disk: 16,
  network: 40,
  partition: 8,
  'broker restart': 8,
  'old policy': 2,
  risk: 14,
  ledger: 30,
};

const DISK_TROUBLES = { full: 3, 'failing write': 3, 'failing sync': 3, slow: 4 };
const NETWORK_TROUBLES = { lose: 3, delay: 3, repeat: 3, cut: 6, 'half-open': 2 };
const RISK_TROUBLES = ['away', 'slow', 'garbage', 'error', 'deny', 'step-up'] as const;
const LEDGER_TROUBLES = ['away', 'slow', 'garbage', 'error', 'refuses'] as const;

/** Every kind of fault there is, by the name under which it is counted. */
export const FAULT_NAMES: readonly string[] = Object.freeze(
  Object.keys(FAULTS).flatMap((kind) => {
    switch (kind) {
      case 'disk':
        return Object.keys(DISK_TROUBLES).map((trouble) => `${kind} ${trouble}`);
      case 'network':
        return Object.keys(NETWORK_TROUBLES).map((trouble) => `${kind} ${trouble}`);
      case 'risk':
        return RISK_TROUBLES.map((trouble) => `${kind} ${trouble}`);
      case 'ledger':
        return [...LEDGER_TROUBLES, ...LEDGER_FAULTS].map((trouble) => `${kind} ${trouble}`);
      default:
        return [kind];
    }
  }),
);

function faultOf(
  kind: keyof typeof FAULTS,
  site: SiteShape,
  healMs: number,
  own: Chance,
): FaultKind {
  const downMs =
    own.weigh({ short: 3, long: 1 }) === 'short'
      ? own.between(200, 6_000)
      : own.between(6_000, 6_000 + Math.floor(healMs / 15));
  switch (kind) {
    case 'kill':
    case 'power cut':
      return { fault: kind, machine: anyMachine(site, own), downMs };
    case 'die at call':
      return {
        fault: kind,
        machine: anyMachine(site, own),
        call: own.between(1, 400),
        side: own.pick(['before', 'after']),
        how: own.pick(['kill', 'power cut']),
        downMs,
      };
    case 'replace bridge':
    case 'restore bridge':
      return { fault: kind, downMs };
    case 'back up bridge':
    case 'old policy':
      return { fault: kind };
    case 'restore device':
      return { fault: kind, machine: anyDevice(site, own), ageMs: own.between(5_000, 300_000) };
    case 'clone device':
      return { fault: kind, machine: one('glasses', site.glasses, own) };
    case 'clock jump': {
      const far = own.weigh({ little: 4, much: 2, epoch: 1 });
      const most = { little: 5_000, much: 7_200_000, epoch: STORM_JUMP_MS_MAX }[far];
      const ms = far === 'epoch' ? -most : own.between(-most, most);
      return { fault: kind, machine: anyDevice(site, own), ms };
    }
    case 'clock drift':
      return { fault: kind, machine: anyDevice(site, own), ppm: own.between(-400, 400) };
    case 'disk':
      return {
        fault: kind,
        machine: anyMachine(site, own),
        trouble: own.weigh(DISK_TROUBLES),
      };
    case 'network':
      return { fault: kind, ...hostsOf(site, own), ...troubleOf(own) };
    case 'partition':
      return {
        fault: kind,
        hosts: own
          .shuffle([...devicesOf(site), 'bridge', 'risk', 'ledger'])
          .slice(0, own.between(1, 12)),
      };
    case 'broker restart':
      return { fault: kind, downMs };
    case 'risk':
      return {
        fault: kind,
        trouble: own.pick(RISK_TROUBLES),
        share: own.pick([0.1, 0.5, 1]),
      };
    case 'ledger':
      return {
        fault: kind,
        ledger: site.ledgers === 2 && own.happens(0.3) ? 'ledger-2' : 'ledger',
        trouble: own.happens(0.3) ? own.pick(LEDGER_TROUBLES) : own.pick(LEDGER_FAULTS),
        share: own.pick([0.1, 0.3, 1]),
      };
  }
}

function troubleOf(own: Chance): NetworkTrouble {
  const share = own.pick([0.05, 0.2, 0.5]);
  switch (own.weigh(NETWORK_TROUBLES)) {
    case 'lose':
      return { trouble: 'lose', share };
    case 'delay':
      return { trouble: 'delay', share, ms: own.pick([50, 1_000, 9_000]) };
    case 'repeat':
      return { trouble: 'repeat', share, ms: own.pick([5, 500, 20_000]) };
    case 'cut':
      return { trouble: 'cut' };
    case 'half-open':
      return { trouble: 'half-open', way: own.pick(['up', 'down']) };
  }
}

/** Mostly one host, often a kiosk, which is then to go on without; sometimes everywhere. */
function hostsOf(site: SiteShape, own: Chance): Readonly<{ hosts?: readonly string[] }> {
  switch (own.weigh({ device: 5, kiosk: 6, bridge: 3, ledger: 3, everywhere: 2 })) {
    case 'device':
      return { hosts: [anyDevice(site, own)] };
    case 'kiosk':
      return { hosts: [one('kiosk', site.kiosks, own)] };
    case 'bridge':
      return { hosts: ['bridge'] };
    case 'ledger':
      return { hosts: ['ledger'] };
    case 'everywhere':
      return {};
  }
}

/** How long it lasts, ms; undefined for what is over by itself. */
function lastsFor(fault: FaultKind, healMs: number, own: Chance): number | undefined {
  const longMs = () => own.between(12_000, 12_000 + Math.floor(healMs / 6));
  switch (fault.fault) {
    case 'clock jump':
    case 'clock drift':
    case 'clone device':
      return longMs();
    case 'disk':
    case 'risk':
    case 'ledger':
      return own.between(2_000, 60_000);
    case 'old policy':
      return own.between(1_000, 15_000);
    case 'network':
    case 'partition':
      return own.weigh({ short: 3, long: 2 }) === 'short' ? own.between(500, 20_000) : longMs();
    default:
      return undefined;
  }
}

// ── what breaks together ─────────────────────────────────────────────────────────────────────────

type Together = Readonly<{ acts: readonly Act[]; faults: readonly Fault[] }>;

/**
 * Moments that take several things at once, and would hardly ever come about by chance alone. They
 * are acts and faults like all others, so shrinking takes them apart.
 */
function togetherOf(
  site: SiteShape,
  healMs: number,
  acts: readonly Act[],
  chance: Chance,
): Together {
  const parts = [
    ...Array.from({ length: RUSHES }, (_, n) => rush(site, healMs, n, chance.fork(`rush ${n}`))),
    ...Array.from({ length: SNAPS }, (_, n) => snap(healMs, acts, n, chance.fork(`snap ${n}`))),
    ...(chance.fork('hush?').happens(0.6) ? [hush(healMs, acts, chance.fork('hush'))] : []),
    ...(chance.fork('flood?').happens(0.012) ? [flood(site, healMs, chance.fork('flood'))] : []),
    ...(chance.fork('queue?').happens(0.5) ? [queue(site, healMs, chance.fork('queue'))] : []),
  ];
  return {
    acts: parts.flatMap((part) => part.acts),
    faults: parts.flatMap((part) => part.faults),
  };
}

const RUSHES = 2;
const SNAPS = 2;

/** Payments under one mandate crowd while the bridge's disk makes them wait for each other. */
function rush(site: SiteShape, healMs: number, n: number, own: Chance): Together {
  const atMs = own.between(120_000, healMs - 20_000);
  const agent = one('agent', site.agents, own);
  const payee = one('shop', Math.max(1, site.kiosks - 1), own);
  const acts = Array.from({ length: own.between(4, 12) }, (_, m): Act => {
    const minor = own.between(50, 5_20);
    return {
      act: 'agent',
      name: `rush-${n}-${m}`,
      atMs: atMs + own.below(400),
      ...{ agent, payee, minor },
    };
  });
  const trouble = { fault: 'disk', machine: 'bridge', trouble: 'slow' } as const;
  const fault = { name: `rush-${n}`, atMs: atMs - 1_000, untilMs: atMs + 5_000, ...trouble };
  return { acts, faults: [fault] };
}

/** A device with a slow card loses power about when somebody has confirmed. */
function snap(healMs: number, acts: readonly Act[], n: number, own: Chance): Together {
  const paying = acts.filter(
    (one) => one.act === 'pay' && one.mood === 'sure' && one.atMs + one.thinkMs < healMs,
  );
  if (paying.length === 0) return { acts: [], faults: [] };
  const act = own.pick(paying);
  if (act.act !== 'pay') return { acts: [], faults: [] };
  const { device: machine, thinkMs } = act;
  const atMs = act.atMs + thinkMs;
  const slow = { fault: 'disk', machine, trouble: 'slow' } as const;
  const death = {
    ...({ fault: 'die at call', machine, call: own.between(1, 30), side: 'after' } as const),
    ...({ how: 'power cut', downMs: own.between(500, 8_000) } as const),
  };
  return {
    acts: [],
    faults: [
      { name: `snap-card-${n}`, atMs: Math.max(0, atMs - 3_000), untilMs: atMs + 8_000, ...slow },
      { name: `snap-power-${n}`, atMs, ...death },
    ],
  };
}

/**
 * A ledger says that it is at it, and is then not heard for longer than a request is valid: what it
 * did meanwhile nobody knows. Only a world that lasts has time for it.
 */
function hush(healMs: number, acts: readonly Act[], own: Chance): Together {
  const early = acts.filter(({ act, atMs }) => act === 'agent' && atMs < healMs - 500_000);
  if (early.length === 0) return { acts: [], faults: [] };
  const atMs = own.pick(early).atMs - 2_000;
  const cutMs = atMs + own.between(2_500, 5_000);
  const slow = { fault: 'ledger', ledger: 'ledger', trouble: 'later', share: 1 } as const;
  const cut = { fault: 'network', trouble: 'cut', hosts: ['ledger'] } as const;
  return {
    acts: [],
    faults: [
      { name: 'hush-later', atMs, untilMs: cutMs, ...slow },
      { name: 'hush-cut', atMs: cutMs, untilMs: cutMs + own.between(330_000, 450_000), ...cut },
    ],
  };
}

/** A rogue asks for more at once than the bridge takes of one key, while no ledger answers. */
function flood(site: SiteShape, healMs: number, own: Chance): Together {
  const atMs = own.between(FIRST_ACT_MS, healMs - 40_000);
  const faults = ['ledger', 'ledger-2'].slice(0, site.ledgers).map((ledger): Fault => {
    const away = { fault: 'ledger', ledger, trouble: 'away', share: 1 } as const;
    return { name: `flood-${ledger}`, atMs: atMs - 1_000, untilMs: atMs + 12_000, ...away };
  });
  const rogue = { act: 'rogue', rogue: 'rogue-1', ask: 'flood', minor: 1 } as const;
  return { acts: [{ name: 'flood', atMs, ...rogue }], faults };
}

/** A kiosk is cut off while people stand in line before it, until it may not take any more. */
function queue(site: SiteShape, healMs: number, own: Chance): Together {
  const n = own.below(site.kiosks);
  const kiosk = `kiosk-${n + 1}`;
  // As many have a tag there: every other wallet, beginning with the first or the second.
  const payers = Math.max(1, Math.ceil((site.wallets - (n % 2)) / 2));
  const lengthMs = own.between(40_000, 120_000);
  const atMs = own.between(FIRST_ACT_MS + 10_000, healMs - 30_000);
  const untilMs = Math.min(atMs + lengthMs, healMs);
  const count = own.between(6, 12);
  const acts = Array.from({ length: count }, (_, m): Act => {
    const turnMs = atMs + 2_000 + Math.floor((m * (untilMs - atMs)) / count) + own.below(1_500);
    const wallet = `wallet-${(n % 2) + 1 + 2 * own.below(payers)}`;
    return {
      act: 'collect',
      name: `queue-${m}`,
      atMs: Math.min(turnMs, healMs - 1_000),
      ...{ kiosk, wallet, minor: own.between(2_00, 25_00) },
      ...{ mood: 'sure', thinkMs: own.between(500, 900) },
    };
  });
  const cut = { fault: 'network', trouble: 'cut', hosts: [kiosk] } as const;
  return { acts, faults: [{ name: 'queue', atMs, untilMs, ...cut }] };
}

function byTime<T extends Readonly<{ atMs: number }>>(entries: readonly T[]): readonly T[] {
  return entries.toSorted((a, b) => a.atMs - b.atMs);
}

function anyMachine(site: SiteShape, own: Chance): string {
  return own.happens(0.45) ? own.weigh({ bridge: 6, ledger: 2, risk: 1 }) : anyDevice(site, own);
}

function anyDevice(site: SiteShape, own: Chance): string {
  return own.pick(devicesOf(site));
}

function devicesOf(site: SiteShape): readonly string[] {
  const all = (what: string, count: number) =>
    Array.from({ length: count }, (_, n) => `${what}-${n + 1}`);
  return [
    ...all('glasses', site.glasses),
    ...all('kiosk', site.kiosks),
    ...all('agent', site.agents),
  ];
}

function one(what: string, count: number, own: Chance): string {
  return `${what}-${own.between(1, count)}`;
}
