/**
 * Where a scenario is played: devices before which people stand, machines that break, and time that
 * passes. A world in virtual time is one (virtual.ts), the real programs of one machine are another
 * (real.ts); whoever plays a scenario cannot tell them apart.
 */
import type { RunningGlasses, RunningKiosk } from '../../device/compose.ts';
import type { Sensed } from '../../device/sense/sensed.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { Money } from '../../src/money.ts';
import type { Sight } from '../observed.ts';
import type { Granted } from '../site.ts';
import type { Heard } from '../world.ts';
import type { Doing } from './verb.ts';

/** What breaks or is mended, as the file says it. */
export type Breaking = Extract<Doing, { does: 'trouble' | 'disk' }>;

/** How a payment of a key that pays alone stands. */
export type AgentPayment = Readonly<{
  id: string | undefined;
  /** Why nothing was signed. */
  reason: string | undefined;
  receipt: () => Receipt | undefined;
}>;

export type Stage = Readonly<{
  /** Ms since the day began. */
  nowMs: () => number;
  /** Lets things happen until `isSo` or for `ms`; whether it is so. */
  until: (isSo: () => boolean, ms: number) => Promise<boolean>;
  /** The running program of a device; undefined while it is dark. */
  device: (machine: string) => RunningGlasses | RunningKiosk | undefined;
  /** Everything since the beginning. */
  heard: (machine: string) => readonly Heard[];
  /** What somebody senses who looks at a code. */
  see: (uri: string) => Sensed;
  /** The mandate that a wallet granted to a device or an agent. */
  granted: (person: string, holder: string) => Granted | undefined;
  /** Pays with an agent's key; resolves when it is signed, or is not. */
  payAlone: (agent: string, shop: string, amount: Money) => Promise<AgentPayment>;
  /** With `calls` after so many calls of its ports from now. Down until `start`. */
  stop: (machine: string, how: 'kill' | 'power cut', calls?: number) => Promise<void>;
  start: (machine: string) => Promise<void>;
  /** Sets a machine's wall clock. */
  jump: (machine: string, ms: number) => void;
  /** Returns what ends it. `at` is the machine of a disk, the service, or `network`. */
  strike: (at: string, breaking: Breaking) => Promise<() => Promise<void>>;
  restartBroker: (downMs: number) => void;
  replaceBridge: () => void;
  backUp: () => Promise<void>;
  /** Puts the newest backup in the place of what the bridge has. */
  restore: () => Promise<void>;
  /** Runs a copy of a device's disk beside it; returns the copy's machine. */
  clone: (machine: string) => Promise<string>;
  /** A wallet ends one of its mandates, or all. */
  revoke: (person: string, holder: string | 'everything') => Promise<void>;
  /** The operator ends a key. */
  revokeKey: (machine: string) => Promise<void>;
  /** What the account of a person or a shop holds at the ledger, minor units. */
  balance: (of: string) => Promise<bigint>;
  isBalanced: () => Promise<boolean>;
  /** Takes down what a person did or was told, for traces and checkers. */
  observe: (sight: Sight) => void;
  /** Ends everything. */
  end: () => Promise<void>;
}>;
