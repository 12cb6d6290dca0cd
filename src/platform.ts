/**
 * The ports: everything of the outside world that this project touches, as small types.
 *
 * Product code receives these and nothing else, so that a whole world (devices, bridge, services)
 * runs in one process under one seed with a virtual clock. The real ones stand in src/node/ and
 * only a main.ts or the command may reach for them.
 */
import { OperatorError, type PaymentError } from './errors.ts';

/** Wall time may step in either direction; monotonic time never does. Both in milliseconds. */
export type Clock = Readonly<{
  nowMs: () => number;
  monotonicMs: () => number;
}>;

export type Timers = Readonly<{
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after: (ms: number, run: () => void) => () => void;
  /** Calls `run` after everything that is already waiting to be handled (one turn of the loop). */
  soon: (run: () => void) => void;
}>;

/** `count` bytes from a cryptographic source, or from the seed of a simulated world. */
export type Random = (count: number) => Uint8Array;

export type Files = Readonly<{
  /** The bytes of a file, or undefined when it does not exist. Throws on any other failure. */
  read: (path: string) => Uint8Array | undefined;
  /** Creates a file with this mode, synced with its folder; throws when it exists already. */
  create: (path: string, bytes: Uint8Array, mode: number) => void;
  /**
   * Replaces a file atomically (write beside it, sync, rename, sync the folder). With `erased` the
   * bytes before are overwritten where they stood: a key that was replaced is to be gone.
   */
  replace: (path: string, bytes: Uint8Array, mode: number, before?: 'erased') => void;
  /** Overwrites a file where it stands, then removes it; nothing when it does not exist. */
  erase: (path: string) => void;
  /** Permission bits (0o777) of a file and whether this process owns it. */
  access: (path: string) => Readonly<{ mode: number; own: boolean }>;
  /** Creates a folder and its parents with mode 0700 when absent. */
  folder: (path: string) => void;
  /** Names in a folder, sorted; empty when it does not exist. */
  list: (path: string) => readonly string[];
}>;

/** Whole files, also large ones, for backup and restore; each verb is synced with its folder. */
export type Archive = Readonly<{
  /** Size and SHA-256 (hex) of a file; undefined when it does not exist. */
  digest: (path: string) => Readonly<{ bytes: number; sha256: string }> | undefined;
  /** A new file (mode 0600) with the bytes of another; throws when it exists already. */
  copy: (from: string, to: string) => void;
  /** Gives a file another name, which must be free. */
  move: (from: string, to: string) => void;
  /**
   * Puts `fresh` in the place of `path`, whose old bytes stay under the free name `aside`. Whatever
   * happens meanwhile, a whole file lies at `path`: the old one or the fresh one.
   */
  swap: (fresh: string, path: string, aside: string) => void;
}>;

/** What SQLite stores and returns here: integers are bigint, blobs are bytes. */
export type SqlValue = null | bigint | string | Uint8Array;
export type SqlRow = Readonly<Record<string, SqlValue>>;

export type Statement = Readonly<{
  run: (...values: readonly SqlValue[]) => Readonly<{ changes: number }>;
  get: (...values: readonly SqlValue[]) => SqlRow | undefined;
  all: (...values: readonly SqlValue[]) => readonly SqlRow[];
}>;

/**
 * One durable SQLite file (WAL). A statement of its own and a `transaction` are on disk when they
 * return, a `commit` when its promise resolves: from then on a power cut loses nothing. Failures of
 * the disk surface as PaymentError `unavailable` with the cause kept. After a write that failed
 * nothing has changed and the next may succeed; after a sync that failed nobody knows what is on
 * disk, and everything is refused until the program is started again: see `failed`.
 */
export type Database = Readonly<{
  /** The same SQL text gives the same prepared statement. */
  prepare: (sql: string) => Statement;
  exec: (sql: string) => void;
  /** Runs `run` in one transaction: its result once durable, or its error and no effect at all. */
  transaction: <T>(run: () => T) => T;
  /**
   * As `transaction`, but a slow disk does not stop the loop: `run` is done and its effect to be
   * read when this returns, and the promise resolves with its result once that is on disk. Nobody
   * may be told before, neither of the result nor of what was read meanwhile: see `durable`.
   */
  commit: <T>(run: () => T) => Promise<T>;
  /** Resolves when everything committed so far is on disk. Who tells what he read waits for it. */
  durable: () => Promise<void>;
  /**
   * Writes a copy, as the database is at one moment, into a new file, while the program goes on.
   * Throws OperatorError `storage` when the file exists or cannot be written.
   */
  backup: (path: string) => Promise<void>;
  /**
   * Resolves, with the reason, when everything is refused until the program is started again: a
   * sync failed, or the file turned out to be damaged (then `cause` is a DamagedError). A program
   * that cannot keep anything ends, so that whoever watches over it starts it again.
   */
  failed: Promise<PaymentError>;
  /** What is still on its way to the disk gets there; its promises resolve. */
  close: () => void;
}>;

/** A file does not hold what was written into it. */
export class DamagedError extends OperatorError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('storage', message, options);
    this.name = 'DamagedError';
  }
}

/** A row was refused because a UNIQUE or PRIMARY KEY value is taken; nothing was written. */
export class ConflictError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ConflictError';
  }
}

export type HttpCall = Readonly<{
  method: 'GET' | 'POST';
  url: string;
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
  timeoutMs: number;
  /** More answer bytes than this is a failure. */
  answerBytesMax: number;
  /** Certificates (PEM) of the only authorities that are believed, in place of the system's. */
  ca?: string;
}>;

export type HttpAnswer = Readonly<{ status: number; body: Uint8Array }>;

/**
 * One HTTP exchange. Rejects with HttpFailure; `sent` is false only when it is certain that the
 * other side saw nothing (connection refused, name not found).
 */
export type Http = (call: HttpCall) => Promise<HttpAnswer>;

export class HttpFailure extends Error {
  readonly sent: boolean;

  constructor(message: string, sent: boolean, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HttpFailure';
    this.sent = sent;
  }
}

export type HttpQuestion = Readonly<{
  method: string;
  /** Path and query exactly as they came. */
  path: string;
  headers: Readonly<Record<string, string | undefined>>;
  body: Uint8Array;
  /** The network address that asks. */
  address?: string;
}>;

/**
 * What a server does with a question: answers it, or (`drop`, and `twice` for the same answer two
 * times on the wire before closing) fails in a way that services fail.
 */
export type HttpReply =
  | 'drop'
  | Readonly<{
      status: number;
      body: Uint8Array;
      /** Without it JSON. */
      type?: string;
      /** Beside those that every answer has, or in their place; a list is sent one by one. */
      headers?: Readonly<Record<string, string | readonly string[]>>;
      twice?: true;
    }>;

/** An answer that goes on: text that is sent as it comes, for as long as somebody listens. */
export type Feed = Readonly<{
  type: string;
  /** Beside those that every answer has, or in their place. */
  headers?: Readonly<Record<string, string>>;
  /** Called once the head is on its way; returns what to do when the listener has gone. */
  begin: (listener: Listener) => () => void;
}>;

export type Listener = Readonly<{
  /** Cuts off who has left FEED_BYTES_MAX unread: what is told then has to be told anew. */
  send: (text: string) => void;
  end: () => void;
}>;

export type LinkEvents = Readonly<{
  message: (topic: string, payload: Uint8Array) => void;
  /** Called on every change; subscriptions are in force when `up` is told. */
  state: (state: 'up' | 'down', why: string) => void;
}>;

/** Quality of service 0 or 1. A resolved publish proves only that the broker read the packet. */
export type Link = Readonly<{
  publish: (topic: string, payload: Uint8Array, qos: 0 | 1, retain?: 'retain') => void;
  /** Breaks the connection, which may only look alive; a new one is made after the usual pause. */
  renew: () => void;
  /**
   * Ends for good; then the will is not published. What was handed over before is still sent, in
   * at most LINK_CLOSE_MS.
   */
  close: () => Promise<void>;
}>;

/** What is published, retained, at quality of service 1. */
export type Retained = Readonly<{ topic: string; payload: Uint8Array }>;

/**
 * PEM texts for mqtts://. Without `ca` the public authorities that the runtime knows are believed.
 */
export type Tls = Readonly<{
  ca?: string | undefined;
  certificate?: string | undefined;
  key?: string | undefined;
}>;

export type LinkOptions = Readonly<{
  url: string;
  /** Asked before each connection, so that a renewed certificate is used without a restart. */
  tls?: () => Tls;
  clientId: string;
  password?: string;
  subscriptions: readonly Readonly<{ topic: string; qos: 0 | 1 }>[];
  /** Asked before each connection: what the broker publishes when it breaks without `close`. */
  will?: () => Retained;
}>;

export type Connect = (options: LinkOptions, events: LinkEvents) => Link;

/** The machine that a program runs on, as people tell machines apart; for display only. */
export type Machine = Readonly<{
  /** Its name in the network. */
  host: string;
  /** Changes with every boot; the same for all programs of one machine. */
  boot: string;
  /** Version of Node. */
  node: string;
}>;

/**
 * A session with a PKCS #11 token (OASIS PKCS #11 2.40), logged in. Keys are P-256 pairs that are
 * named by an id and never leave. Every failure is a TokenFailure.
 */
export type TokenSession = Readonly<{
  /** Makes a key pair and returns its CKA_EC_POINT as the module gives it. */
  generate: (id: Uint8Array, label: string) => Promise<Uint8Array>;
  /** Raw CKM_ECDSA over a digest, as the module gives it: r‖s, with low or high s. */
  sign: (id: Uint8Array, digest: Uint8Array) => Promise<Uint8Array>;
  /** The ids of the private keys with a label. */
  list: (label: string) => Promise<readonly Uint8Array[]>;
  /** Destroys both halves of a pair; nothing when there is none. */
  destroy: (id: Uint8Array) => Promise<void>;
}>;

/**
 * Opens a session with one attempt to log in. `fresh` starts the module anew before, which is what
 * makes it notice that a token is back, and ends every other session of this program with it.
 */
export type OpenToken = (
  label: string,
  pin: string,
  start: 'shared' | 'fresh',
) => Promise<TokenSession>;

/**
 * Loads a PKCS #11 module (a shared library). Throws OperatorError when this program cannot load
 * any, TokenFailure `NO_MODULE` when it cannot load this one.
 */
export type LoadTokens = (module: string) => OpenToken;

/** Why a token did not do what it was asked for: a CKR_ name, or one of ours. */
export class TokenFailure extends Error {
  readonly code: string;

  constructor(
    code:
      `CKR_${string}` | 'NO_MODULE' | 'NO_TOKEN' | 'TWO_TOKENS' | 'NO_KEY' | 'BARE_KEY' | 'SLOW',
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'TokenFailure';
    this.code = code;
  }
}

/** What a server shows of itself before anything is believed. */
export type Shown = Readonly<{ names: string; issuer: string; fromMs: number; untilMs: number }>;

/** What a program looks at of its machine to say what is wrong. Looking changes nothing. */
export type Surroundings = Readonly<{
  /** Free bytes of the file system that a folder lies on, for whoever is not root. */
  freeBytes: (folder: string) => number;
  /** Makes a small file in a folder, syncs it and removes it; throws when the disk refuses. */
  tryWriting: (folder: string) => void;
  /** When a file was last changed, in ms by this machine's clock; undefined when there is none. */
  changedMs: (path: string) => number | undefined;
  isReadable: (path: string) => boolean;
  /** What a program of the system says; undefined when it is not there, fails or is late. */
  run: (program: string, args: readonly string[]) => Promise<string | undefined>;
  /** Whether somebody listens at a Unix socket. */
  isListening: (socket: string) => Promise<boolean>;
  /**
   * Connects to a broker as far as TLS goes and ends it there. `failure` is in words; `shown` is
   * the broker's certificate, believed or not.
   */
  reach: (
    url: string,
    tls: Tls,
  ) => Promise<Readonly<{ failure: string | undefined; shown: Shown | undefined }>>;
  /**
   * Copies a database file with its log to where it can be opened without harm, and removes the
   * copy when `look` returns. Copies nothing that a program has open, nor what is too large.
   */
  lookInto: <T>(
    database: string,
    look: (copy: string) => T | Promise<T>,
  ) => Promise<'absent' | 'in use' | 'too large' | Readonly<{ seen: T }>>;
  /** The program that runs this one. */
  runtime: string;
}>;

/** Counts of times in microseconds, to three significant digits; what is larger is the largest. */
export type Histogram = Readonly<{
  record: (us: number) => void;
  count: () => number;
  /** The time that this percentage (above 0, to 100) does not exceed; 0 when there is none. */
  percentile: (percent: number) => number;
  max: () => number;
  reset: () => void;
}>;

/** What a process has used since its start; `main` is its first thread, where a loop runs. */
export type ProcessUse = Readonly<{
  /** On a processor, all threads. */
  runMs: number;
  mainRunMs: number;
  /** Ready to run, with no processor free. */
  mainQueueMs: number;
  rssKb: number;
}>;

/** What all processors of a machine together did since its start. */
export type MachineUse = Readonly<{
  busyMs: number;
  idleMs: number;
  /** Given to another machine on the same hardware. */
  stolenMs: number;
}>;

/** Structured events for operators. Never keys or secrets; payees and amounts only at debug. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields?: Readonly<Record<string, string | number | boolean>>,
) => void;

/**
 * Numbers for operators, read by their monitoring. No name and no label says who was paid, by whom,
 * how much or on which device.
 */
export type Metrics = Readonly<{
  /** A counter with these labels; the returned function counts one. */
  counter: <Label extends string>(
    name: string,
    help: string,
    labels: readonly Label[],
  ) => (values: Readonly<Record<Label, string>>) => void;
  /** A number that is asked for at each reading; undefined leaves it out. */
  gauge: (name: string, help: string, read: () => number | undefined) => void;
}>;
