/**
 * What is going to happen in a world, as plain data: who is there, what people do and what breaks.
 *
 * A storm draws a plan from a seed, a person may write one, and shrinking takes entries out of one;
 * the world only carries it out. Every time is in true milliseconds since the world began. Every
 * entry has a name, from which it draws what it still leaves to chance, so that the entries that
 * remain in a shrunk plan go on as they did.
 */
import type { Fault as LedgerFault } from '../broker/ledger/service.ts';
import type { Algorithm } from '../src/keys.ts';
import type { SiteShape } from './census.ts';

export type Plan = Readonly<{
  /** Everything that is still left to chance is drawn from it. */
  seed: string;
  algorithm: Algorithm;
  site: SiteShape;
  acts: readonly Act[];
  faults: readonly Fault[];
  /** Until here things break; from here on all is whole. */
  healMs: number;
  /** By now everything has to have come to its end. */
  endMs: number;
}>;

/** How somebody answers what a device asks. */
export type Mood =
  | 'sure'
  /** Presses at once, twice, before anything can have been read; then reads. */
  | 'hasty'
  /** Says yes where a press is needed, is told so, and presses. */
  | 'speaks first'
  | 'cancels'
  /** Confirms, and a moment later asks to cancel. */
  | 'regrets'
  /** Goes away without a word. */
  | 'walks off'
  | 'takes it off'
  /** Confirms, and when the end is not known soon pays the same again. */
  | 'impatient';

/** Something that people or agents do at `atMs`. Amounts are minor units of the site's currency. */
export type Act = Readonly<{ name: string; atMs: number }> & ActKind;

export type ActKind =
  /** `heard` is what the device understood instead; who notices says no. */
  | Readonly<{
      act: 'pay';
      device: string;
      payee: string;
      minor: number;
      how: 'voice' | 'two sentences' | 'tag';
      heard?: number;
      isAttentive: boolean;
      mood: Mood;
      thinkMs: number;
    }>
  /** An order, and who looks at it: more than one person may pay it. */
  | Readonly<{
      act: 'order';
      kiosk: string;
      /** Another than the site's, which no mandate here is in. */
      currency?: string;
      prices: readonly number[];
      customers: readonly Readonly<{
        device: string;
        afterMs: number;
        mood: Mood;
        thinkMs: number;
      }>[];
    }>
  /** The clerk enters a bill and somebody holds a tag to the kiosk. */
  | Readonly<{
      act: 'collect';
      kiosk: string;
      wallet: string;
      minor: number;
      mood: Mood;
      thinkMs: number;
    }>
  /** The clerk does it to the newest order that it can be done to; to all without `minor`. */
  | Readonly<{
      act: 'clerk';
      kiosk: string;
      deed: 'refund' | 'capture' | 'void';
      minor?: number;
      mood: Mood;
      thinkMs: number;
    }>
  /** An agent pays, or holds and captures or voids `afterMs` later. */
  | Readonly<{
      act: 'agent';
      agent: string;
      payee: string;
      minor: number;
      then?: Readonly<{ deed: 'capture' | 'void'; afterMs: number }>;
    }>
  /** A wallet ends one of its mandates, or with `all` every one. */
  | Readonly<{ act: 'revoke'; wallet: string; holder: string; all?: true }>
  /** The operator suspends a mandate of somebody, or else lets go on all that is suspended. */
  | Readonly<{ act: 'operator'; suspends?: string }>
  /** Somebody inside the broker puts in what was not said, from a device (up) or to it (down). */
  | Readonly<{ act: 'forge'; forgery: Forgery; device: string; way: 'up' | 'down' }>
  /** A key that was let in asks for what nobody granted. */
  | Readonly<{ act: 'rogue'; rogue: string; ask: RogueAsk; minor: number }>;

/** What a forger makes of something overheard. */
export const FORGERIES = [
  'noise',
  'cut short',
  /** Not in the one form in which it may be written. */
  'loose',
  /** One bit of it. */
  'altered',
  /** Signed by a key that nobody let in. */
  'strange key',
  /** As another device's. */
  'elsewhere',
  'other kind',
  /** As it was, later. */
  'again',
] as const;
export type Forgery = (typeof FORGERIES)[number];

/** What a rogue asks for. */
export const ROGUE_ASKS = [
  /** Within what it was granted. */
  'pay',
  /** And captures more than it holds, all of it, and all of it again. */
  'hold',
  'foreign',
  'no such money',
  'no such field',
  'too dear',
  /** What somebody would have to confirm. */
  'unconfirmed',
  'other shop',
  'other till',
  'by voice',
  'too early',
  'not its own',
  'counter again',
  'counter ahead',
  'old nonce',
  'too long',
  'over',
  /** Signed for the other environment. */
  'simulated',
  'order',
  'order changed',
  'order made up',
  'refund',
  'capture nothing',
  /** More than was set aside for it. */
  'leases',
  'ask about others',
  'cancel others',
  'grant itself',
  'hand on',
  'hand on others',
  'hand on other money',
  'hand on too deep',
  'revoke',
  /** More at once than the bridge takes of one key. */
  'flood',
] as const;
export type RogueAsk = (typeof ROGUE_ASKS)[number];

/** Shares are of all messages or calls that it concerns, from 0 to 1. */
export type NetworkTrouble =
  /** A message, or a whole call or its answer, is gone. */
  | Readonly<{ trouble: 'lose'; share: number }>
  /** It arrives so much later; others pass it, which is reordering. */
  | Readonly<{ trouble: 'delay'; share: number; ms: number }>
  /** It arrives again after so long. */
  | Readonly<{ trouble: 'repeat'; share: number; ms: number }>
  /** Nothing arrives; connections break as soon as somebody notices. */
  | Readonly<{ trouble: 'cut' }>
  /** Nothing that the host sends arrives, or nothing that is sent to it; nobody is told. */
  | Readonly<{ trouble: 'half-open'; way: 'up' | 'down' }>;

/** What a backend does wrong: a LedgerFault of its service, or one of what lies between. */
export type LedgerTrouble = 'away' | 'slow' | 'garbage' | 'error' | 'refuses' | LedgerFault;

export type DiskTrouble = 'full' | 'failing write' | 'failing sync' | 'slow';

export type RiskTrouble = 'away' | 'slow' | 'garbage' | 'error' | 'deny' | 'step-up';

/** What breaks at `atMs`, and is whole again at `untilMs` or when everything is healed. */
export type Fault = Readonly<{ name: string; atMs: number; untilMs?: number }> & FaultKind;

export type FaultKind =
  /** The process ends (kill -9), or the whole machine loses power; it is back after `downMs`. */
  | Readonly<{ fault: 'kill' | 'power cut'; machine: string; downMs: number }>
  /** The same, before or after its so-manieth call of the outside world from now. */
  | Readonly<{
      fault: 'die at call';
      machine: string;
      call: number;
      side: 'before' | 'after';
      how: 'kill' | 'power cut';
      downMs: number;
    }>
  /** The bridge's machine is gone; another one takes its disk over. */
  | Readonly<{ fault: 'replace bridge'; downMs: number }>
  /** A backup of the bridge is made; every later restore takes the newest. */
  | Readonly<{ fault: 'back up bridge' }>
  | Readonly<{ fault: 'restore bridge'; downMs: number }>
  /** The bridge is started with an older policy than it has seen, which it refuses to work by. */
  | Readonly<{ fault: 'old policy' }>
  /** A device gets back the disk that it had so long ago. */
  | Readonly<{ fault: 'restore device'; machine: string; ageMs: number }>
  /** Somebody runs a copy of its disk beside it. */
  | Readonly<{ fault: 'clone device'; machine: string }>
  | Readonly<{ fault: 'clock jump'; machine: string; ms: number }>
  | Readonly<{ fault: 'clock drift'; machine: string; ppm: number }>
  | Readonly<{ fault: 'disk'; machine: string; trouble: DiskTrouble }>
  /** Between these hosts and all others; without hosts everywhere. */
  | (Readonly<{ fault: 'network'; hosts?: readonly string[] }> & NetworkTrouble)
  /** These hosts reach each other and nobody else does reach them. */
  | Readonly<{ fault: 'partition'; hosts: readonly string[] }>
  /** The broker forgets what it kept and carried; with `downMs` it is away for so long. */
  | Readonly<{ fault: 'broker restart'; downMs: number }>
  | Readonly<{ fault: 'risk'; trouble: RiskTrouble; share: number }>
  | Readonly<{
      fault: 'ledger';
      ledger: string;
      trouble: LedgerTrouble | LedgerFault;
      share: number;
    }>;

/** Names of all kinds of faults, as coverage counts them: "network lose", "disk full", "kill". */
export function faultName(fault: FaultKind): string {
  return 'trouble' in fault ? `${fault.fault} ${fault.trouble}` : fault.fault;
}

/** Names of all kinds of acts, as coverage counts them: "pay sure", "order foreign", "agent". */
export function actName(act: ActKind): string {
  switch (act.act) {
    case 'pay':
    case 'collect':
      return `${act.act} ${act.mood}`;
    case 'clerk':
      return `${act.act} ${act.deed}`;
    case 'order':
      return act.currency === undefined ? act.act : `${act.act} foreign`;
    case 'agent':
    case 'revoke':
      return act.act;
    case 'operator':
      return act.suspends === undefined ? 'operator resumes' : 'operator suspends';
    case 'forge':
      return `${act.act} ${act.forgery} ${act.way}`;
    case 'rogue':
      return `${act.act} ${act.ask}`;
  }
}

/** A plan as it stands in a file; draft.ts reads it back. */
export const planText = (plan: Plan): string => `${JSON.stringify(plan, undefined, 1)}\n`;

/** The same without those at the end of each list who have nothing to do in it. */
export function withoutIdle(plan: Plan): readonly Plan[] {
  const text = JSON.stringify([plan.acts, plan.faults]);
  const last = (what: string) =>
    Math.max(
      1,
      ...[...text.matchAll(new RegExp(`"${what}-(\\d+)"`, 'g'))].map(([, n]) => Number(n)),
    );
  const { site } = plan;
  const glasses = Math.min(site.glasses, last('glasses'));
  const agents = Math.min(site.agents, last('agent'));
  const ledgers = text.includes('"ledger-2"') ? site.ledgers : 1;
  const kiosks = Math.min(site.kiosks, Math.max(last('kiosk'), last('shop') + 1));
  const { rogues, ...honest } = site;
  const who = { ...honest, ...(rogues && text.includes('"rogue-1"') && { rogues }) };
  const shapes: readonly SiteShape[] = [
    who,
    { ...who, glasses, agents },
    { ...who, glasses, agents, ledgers },
    { ...who, glasses, agents, ledgers, kiosks },
  ];
  const known = new Set([JSON.stringify(site)]);
  return shapes
    .filter((shape) => known.size < known.add(JSON.stringify(shape)).size)
    .map((shape) => ({ ...plan, site: shape }));
}
