/**
 * What is going to happen in a world, as plain data: who is there, what people do and what breaks.
 *
 * A storm draws a plan from a seed, a person may write one, and shrinking takes entries out of one;
 * the world only carries it out. Every time is in true milliseconds since the world began. Every
 * entry has a name, from which it draws what it still leaves to chance, so that the entries that
 * remain in a shrunk plan go on as they did.
 */
import type { Fault as LedgerFault } from '../broker/ledger/service.ts';

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
