/**
 * Who is in the world of a seed: how much they have, what their wallets let them do, and what the
 * platform allows. Mostly plenty, sometimes so little that it is used up.
 */
import type { Window } from '../src/objects/mandate.ts';
import type { Algorithm } from '../src/keys.ts';
import type { Policy } from '../src/objects/policy.ts';
import { CHANNELS } from '../src/objects/request.ts';
import type { Grant } from '../src/wallet.ts';
import type { Chance } from './chance.ts';
import { type Payee, type Site, type SiteCast, buildSite } from './site.ts';

/** How many of each; every kiosk is a shop of its own but the last, which shares the first's. */
export type SiteShape = Readonly<{
  wallets: number;
  glasses: number;
  kiosks: number;
  agents: number;
  ledgers: 1 | 2;
  /** Keys that were let in and do as they like. */
  rogues?: 1;
  /** Not the simulation, whose ledgers and risk service know amounts that mean something. */
  environment?: 'live';
}>;

/** What everybody in a world of this shape is called. */
export function namesIn(shape: SiteShape) {
  const named = (name: string) => name;
  return Object.freeze({
    wallets: many(shape.wallets, 'wallet', named),
    glasses: many(shape.glasses, 'glasses', named),
    kiosks: many(shape.kiosks, 'kiosk', named),
    agents: many(shape.agents, 'agent', named),
    rogues: many(shape.rogues ?? 0, 'rogue', named),
    shops: many(Math.max(1, shape.kiosks - 1), 'shop', named),
    ledgers: ['ledger', 'ledger-2'].slice(0, shape.ledgers),
  });
}

/** The site of a seed: the same shape and chance give the same bytes. */
export function createSite(shape: SiteShape, algorithm: Algorithm, chance: Chance): Promise<Site> {
  return buildSite(drawCast(shape, chance), algorithm, chance);
}

/** Who is in the world of a seed: the same shape and chance give the same. */
function drawCast(shape: SiteShape, chance: Chance): SiteCast {
  const startMs = Date.UTC(2026, 9, 14) + chance.fork('start').below(24 * 3600) * 1000;
  const startS = startMs / 1000;
  const wallets = many(shape.wallets, 'wallet', (name) => {
    const own = chance.fork(name);
    const payer = own.bytes(16);
    const balance = BigInt(own.happens(0.1) ? own.between(10_00, 100_00) : 50_000_00);
    return { name, payer, funding: `acct-${name}`, balance };
  });
  const { ledgers, shops: ids } = namesIn(shape);
  const shops = ids.map((id, n) => ({
    id,
    category: CATEGORIES[n % CATEGORIES.length]!,
    names: NAMES[n % NAMES.length]!.map(([language, text]) =>
      n < NAMES.length ? ([language, text] as const) : ([language, `${text} ${n + 1}`] as const),
    ),
  }));
  const kiosks = many(shape.kiosks, 'kiosk', (name, n) => {
    const shop = shops[n % shops.length]!.id;
    return { name, shop, terminal: `till-${n + 1}`, language: 'en' as const };
  });
  const walletOf = (n: number) => wallets[n % wallets.length]!.name;
  const glasses = many(shape.glasses, 'glasses', (name, n) => {
    return { name, wallet: walletOf(n), language: n % 4 === 3 ? ('zh' as const) : ('en' as const) };
  });
  const agents = many(shape.agents, 'agent', (name, n) => ({ name, wallet: walletOf(n) }));

  const grants: SiteCast['grants'][number][] = [];
  const grant = (wallet: string, holder: string, says: Partial<Grant>, parent?: number): number => {
    const terms = {
      nbf: startS - 60,
      exp: startS + 90 * DAY_S,
      iat: startS - grants.length,
      funding: wallets.find(({ name }) => name === wallet)!.funding,
      currency: CURRENCY,
      perPaymentMax: 200_00n,
      channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look,
      windows: [{ kind: 'total', max: 5_000_00n, count: 500 }],
      allow: [{ kind: 'any' }],
      bands: [
        { ceiling: 20_00n, level: 1 },
        { ceiling: 1_000_00n, level: 2 },
      ],
      epoch: 1,
      ...says,
    } as const;
    const handed = parent !== undefined && { parent };
    grants.push({ wallet, holder, says: (cnf) => ({ ...terms, cnf }), ...handed });
    return grants.length - 1;
  };
  for (const { name, wallet } of glasses) {
    const own = chance.fork(`mandates of ${name}`);
    const count = own.happens(0.2) ? 2 : 1;
    for (let n = 0; n < count; n++) {
      const odd = oddly(own.fork(`odd ${n}`), shops, kiosks, startMs);
      grant(wallet, name, { ...grantOf(own, shops, startMs), ...odd });
    }
  }
  for (const [n, { name }] of kiosks.entries()) {
    const own = chance.fork(`tags at ${name}`);
    for (const wallet of wallets.filter((_, i) => (i + n) % 2 === 0).slice(0, TAGS_MAX)) {
      const [least, most] = own.happens(0.25) ? [15_00, 60_00] : [100_00, 400_00];
      grant(wallet.name, name, {
        perPaymentMax: 50_00n,
        windows: [
          { kind: 'total', max: BigInt(own.between(least, most)), count: own.between(8, 40) },
        ],
        bands: [{ ceiling: 50_00n, level: 1 }],
      });
    }
  }
  for (const [n, { name, wallet }] of agents.entries()) {
    const own = chance.fork(`mandates of ${name}`);
    const alone = {
      channels: CHANNELS.autonomous,
      perPaymentMax: BigInt(own.between(2_00, 5_00)),
      windows: windowsOf(own, 10_00, 150_00),
      bands: [{ ceiling: 5_00n, level: 0 }],
    } as const;
    const first = grant(wallet, name, alone);
    // Every other agent hands a part of what it may do on to the next one.
    const next = agents[n + 1];
    if (n % 2 === 0 && next) {
      grant(wallet, next.name, { ...alone, windows: windowsOf(own, 10_00, 100_00) }, first);
    }
  }
  const rogues = many(shape.rogues ?? 0, 'rogue', (name, n) => ({ name, wallet: walletOf(n) }));
  for (const { name, wallet } of rogues) {
    for (const which of ROGUE_MANDATES) grant(wallet, name, rogueGrant(which, shops, startS));
  }
  const policy = policyOf(startS, chance.fork('policy'));
  return {
    ...{ startMs, currency: CURRENCY, wallets, shops, kiosks, glasses, agents },
    ...{ ledgers, policy, grants, rogues },
    ...(shape.environment && { environment: shape.environment }),
  };
}

const CURRENCY = 'CNY';
const DAY_S = 86_400;
/** Payers whose tags one kiosk takes. */
const TAGS_MAX = 6;

/** Of merchants (ISO 18245): a place to eat, a grocer, a book shop. */
const CATEGORIES = [5814, 5411, 5942] as const;

const NAMES = [
  [
    ['en', 'Luckin Coffee'],
    ['zh', '瑞幸咖啡'],
  ],
  [
    ['en', 'Lotus Bakery'],
    ['zh', '莲花面包'],
  ],
  [
    ['en', 'Corner Books'],
    ['zh', '街角书店'],
  ],
  [
    ['en', 'Green Grocer'],
    ['zh', '绿色果蔬'],
  ],
  [
    ['en', 'River Noodles'],
    ['zh', '河畔面馆'],
  ],
  [
    ['en', 'Night Pharmacy'],
    ['zh', '夜间药房'],
  ],
] as const satisfies readonly (readonly (readonly [string, string])[])[];

/** What a wallet lets glasses do: mostly plenty, sometimes so little that it is used up. */
function grantOf(chance: Chance, shops: readonly Payee[], startMs: number): Partial<Grant> {
  const some = chance.shuffle(shops).slice(0, chance.between(1, shops.length));
  const payees = some.map(({ id }) => ({ kind: 'payee', payee: id }) as const);
  return {
    perPaymentMax: BigInt(chance.between(60_00, 300_00)),
    ...(chance.happens(0.1) && { perPaymentMin: 2_00n }),
    windows: windowsOf(chance, 100_00, 2_000_00),
    allow: chance.happens(0.6) ? [{ kind: 'any' }] : payees,
    ...(chance.happens(0.1) && { deny: [payees[0]!] }),
    ...(chance.happens(0.1) && { gap: chance.between(5, 60) }),
    ...(chance.happens(0.05) && { exp: startMs / 1000 + chance.between(300, 1_800) }),
    ...(chance.happens(0.15) && { channels: CHANNELS.voice | CHANNELS.look }),
  };
}

/** Which of a rogue's mandates is which, in the order in which they are granted. */
export const ROGUE_MANDATES = ['plain', 'leased', 'spoken', 'early', 'wide'] as const;

/** What a rogue may do: a little, and nothing by voice or before its time. */
function rogueGrant(
  which: (typeof ROGUE_MANDATES)[number],
  shops: readonly Payee[],
  startS: number,
): Partial<Grant> {
  const little = {
    channels: CHANNELS.autonomous,
    perPaymentMax: 8_00n,
    windows: [{ kind: 'total', max: 20_00n, count: 40 }],
    allow: [{ kind: 'payee', payee: shops[0]!.id }],
    bands: [
      { ceiling: 5_00n, level: 0 },
      { ceiling: 20_00n, level: 2 },
    ],
  } as const;
  switch (which) {
    case 'plain':
      // Nothing is set aside for one with a gap, so that it can be spent with the link alone.
      return { ...little, gap: 1 };
    case 'leased':
      return { ...little, perPaymentMax: 5_00n };
    case 'spoken':
      return { ...little, channels: CHANNELS.voice };
    case 'early':
      return { ...little, nbf: startS + DAY_S };
    case 'wide':
      return { ...little, windows: [{ kind: 'total', max: 2_000_00n, count: 400 }] };
  }
}

/** What few mandates say: not this shop's trade, not that till, not yet. */
function oddly(
  chance: Chance,
  shops: readonly Readonly<{ category: number }>[],
  kiosks: readonly Readonly<{ terminal: string }>[],
  startMs: number,
): Partial<Grant> {
  switch (chance.weigh({ no: 17, category: 1, terminal: 1, early: 1 })) {
    case 'no':
      return {};
    case 'category':
      return { deny: [{ kind: 'category', category: chance.pick(shops).category }] };
    case 'terminal':
      return { deny: [{ kind: 'terminal', terminal: chance.pick(kiosks).terminal }] };
    case 'early':
      return { nbf: startMs / 1000 + chance.between(60, 400) };
  }
}

function windowsOf(chance: Chance, least: number, most: number): readonly Window[] {
  const max = () => BigInt(chance.between(least, most));
  const total: Window = { kind: 'total', max: max(), count: chance.between(10, 300) };
  const kind = chance.weigh({ total: 2, calendar: 2, rolling: 2 });
  if (kind === 'total') return [total];
  if (kind === 'rolling') {
    const seconds = chance.between(120, 3_600);
    return [total, { kind, seconds, max: max(), count: chance.between(3, 40) }];
  }
  const zone = chance.pick(['Asia/Shanghai', 'Europe/Berlin', 'America/New_York', 'UTC']);
  return [total, { kind, period: 'day', zone, max: max(), count: chance.between(5, 60) }];
}

/** 5 yuan without anybody, 20 by voice, 1,000 by a physical act; and offline what is usual. */
function policyOf(startS: number, chance: Chance): Policy {
  return {
    iat: startS - DAY_S,
    version: 2,
    scope: { kind: 'platform' },
    ladders: [
      {
        currency: CURRENCY,
        bands: [
          { ceiling: 5_00n, level: 0 },
          { ceiling: 50_00n, level: 1 },
          { ceiling: 1_000_00n, level: 2 },
        ],
      },
    ],
    offline: {
      behaviour: 'prefer_online',
      currency: CURRENCY,
      floorLimit: BigInt(chance.between(20_00, 50_00)),
      storedAmountMax: BigInt(chance.between(200_00, 800_00)),
      storedCountMax: chance.between(6, 40),
      acceptWindow: chance.between(600, 7_200),
      uploadWindow: chance.between(7_200, 14_400),
      goOnlineEvery: [4, chance.between(8, 20)],
      payerCountMax: chance.between(3, 8),
      payerAmountMax: BigInt(chance.between(50_00, 150_00)),
      policyAgeMax: 90 * DAY_S,
      ...narrowed(chance.fork('narrow')),
    },
  };
}

/** Every other platform trusts its devices less than is usual: with less, or for less long. */
function narrowed(chance: Chance): Partial<NonNullable<Policy['offline']>> {
  switch (chance.weigh({ usual: 6, little: 4, short: 1, late: 2, old: 1 })) {
    case 'usual':
      return {};
    case 'little':
      return chance.pick([
        { storedAmountMax: BigInt(chance.between(25_00, 120_00)) },
        { storedCountMax: chance.between(1, 4) },
        { goOnlineEvery: [1, chance.between(2, 4)] as const },
        {
          payerCountMax: chance.between(1, 3),
          payerAmountMax: BigInt(chance.between(20_00, 60_00)),
        },
      ]);
    case 'short':
      return { acceptWindow: chance.between(20, 90), uploadWindow: chance.between(20, 90) };
    case 'late':
      return { uploadWindow: chance.between(4, 20) };
    case 'old':
      return { policyAgeMax: DAY_S + chance.between(30, 300) };
  }
}

function many<T>(count: number, what: string, make: (name: string, n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(`${what}-${n + 1}`, n));
}
