/**
 * The ports of a page: everything that a script in a browser touches of the outside world, as small
 * types. The real ones stand in src/browser/, and only a page's main.ts reaches for them.
 */
import type { Reason } from './errors.ts';

/** What the bridge answered, or why it did not do what was asked. */
export type Answer =
  Readonly<{ ok: true; value: unknown }> | Readonly<{ ok: false; reason: Reason; why: string }>;

export type World = Readonly<{
  /** Asks the bridge one of its verbs for pages. Never rejects: no answer is `unavailable`. */
  ask: (name: string, body?: object) => Promise<Answer>;
  nowS: () => number;
  after: (ms: number, run: () => void) => void;
  /** What stood behind # in the address; it is taken out of it, and out of the history. */
  takeFragment: () => string;
  /** Leads to another page of this bridge. */
  go: (path: string) => void;
  /** Small things that this browser remembers of a person: the language, what was saved. */
  remember: (name: string, value: string) => void;
  recall: (name: string) => string | undefined;
  /** Offers bytes as a file. */
  offer: (name: string, bytes: Uint8Array) => void;
  languages: readonly string[];
  zone: string;
}>;

/** Who listens to a feed. */
export type Ears = Readonly<{
  /** It stands, and begins: what was known before counts no more. */
  begun: () => void;
  /** One event, as its JSON text. */
  event: (text: string) => void;
  /** `away` is tried again by itself; `refused` is not: the secret is not the right one. */
  lost: (why: 'away' | 'refused') => void;
}>;

/** What a camera sees, until it is closed. */
export type Camera = Readonly<{ video: HTMLVideoElement; close: () => void }>;

/** Listens for one sentence. */
export type Recognise = (language: 'en' | 'zh') => Readonly<{
  /** What was heard, or undefined when nothing was, or it was not allowed. */
  sentence: Promise<string | undefined>;
  stop: () => void;
}>;
