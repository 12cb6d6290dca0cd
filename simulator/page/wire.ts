/**
 * What the simulator's page and its host say to each other. Both sides import this file, so that
 * neither can say what the other does not know.
 *
 * The host tells events, one JSON object in each `data:` of a stream (GET /v1/events); the page
 * asks verbs, POST /v1/ask/NAME. Both carry the secret of this run, which stands behind # in the
 * address that was printed, in a header of ours. It is no cookie: browsers send the cookies of
 * 127.0.0.1 to every port of it, so every other program of this machine would be told.
 */
import type { Shown } from '../../device/surface/screen.ts';

/** The header that carries the secret, with events as with verbs. */
export const SECRET_HEADER = 'x-saytap-sim';

export type Language = 'en' | 'zh';
/** Minor units as decimal digits, because JSON has no integers of that size. */
export type Amount = Readonly<{ currency: string; minor: string }>;
/** [language, text]; the first is the default. */
export type Names = readonly (readonly [language: string, text: string])[];

// ── what there is ────────────────────────────────────────────────────────────────────────────

export type DeviceView = Readonly<{
  name: string;
  kind: 'glasses' | 'kiosk';
  /** Whose kiosk it is. */
  payee?: string;
  /** That of the simulation: whoever tries it out has to know it. Absent when none is set. */
  pin?: string;
}>;

/** A line that a kiosk offers; `minor` is for one. */
export type Offer = Readonly<{ names: Names; minor: string }>;

/**
 * What can be made to go wrong. Those of a link befall one device, or all of them; `drop`,
 * `duplicate` and `reorder` befall a share of the messages.
 */
export const LINK_TROUBLES = Object.freeze([
  /** The connection is gone, and nothing gets through until it is over. */
  'cut',
  /** It looks alive, and nothing gets through in either direction. */
  'half_open',
  'slow',
  'drop',
  'duplicate',
  'reorder',
] as const);

/** Those of a device itself: of one, or of all. */
export const DEVICE_TROUBLES = Object.freeze([
  /** Its clock shows two hours less. */
  'clock_back',
  /** Nothing can be written any more. */
  'disk_full',
] as const);

export const SYSTEM_TROUBLES = Object.freeze([
  'bridge_away',
  'risk_slow',
  'risk_down',
  /** The ledger does what it is asked, and answers when the bridge has given up waiting. */
  'ledger_slow',
  /** A share of the ledger's answers never arrives, after it did what it was asked. */
  'ledger_lost',
  /** A share of the calls reaches the ledger twice. */
  'ledger_twice',
] as const);

/** Over as soon as it has happened; `on` begins it. */
export const MOMENTS = Object.freeze(['broker_restart'] as const);

export type LinkTrouble = (typeof LINK_TROUBLES)[number];
export type DeviceTrouble = (typeof DEVICE_TROUBLES)[number];
export type SystemTrouble = (typeof SYSTEM_TROUBLES)[number];
export type TroubleName = LinkTrouble | DeviceTrouble | SystemTrouble | (typeof MOMENTS)[number];

export type TroubleView = Readonly<{
  name: TroubleName;
  on: boolean;
  /** The one device that it befalls; absent when it befalls all, or none is meant. */
  device?: string;
  /** Of messages or calls, 0 to 1; absent where it befalls each of them. */
  share?: number;
}>;

/** `here`: played with the devices of this page. `virtual`: in a world and a time of its own. */
export type ScenarioView = Readonly<{ name: string; about: string; where: 'here' | 'virtual' }>;

// ── a payment on its way ─────────────────────────────────────────────────────────────────────

export const STATIONS = Object.freeze([
  'person',
  'device',
  'broker',
  'bridge',
  'risk',
  'ledger',
] as const);
export type Station = (typeof STATIONS)[number];

/** Only what is seen from outside is told; what happens inside lies between two of them. */
export const HOPS = Object.freeze([
  /** person → device: something said, tapped, looked at. */
  'sensed',
  /** device → person: what is to be agreed to. */
  'asked',
  /** person → device: the answer to that. */
  'answered',
  /** device → device: signed and on its disk; the bytes are the envelope. */
  'stored',
  /** device → broker → bridge: the signed request. */
  'request',
  /** device → broker → bridge: a signed question about it, as to cancel it. */
  'query',
  /** bridge → risk → bridge: JSON. */
  'risk',
  /** bridge → ledger → bridge: JSON. */
  'money',
  /** bridge → broker → device: the signed receipt. */
  'receipt',
  /** device → person: how it ended, or that it is not known yet. */
  'told',
] as const);

export type Hop = Readonly<{
  kind: 'hop';
  /** Id of the payment's row, see PaymentView. */
  payment: string;
  /** Counts from 1 in each payment. */
  number: number;
  /** Since 1970, with fractions, on the clock of the simulator. */
  atMs: number;
  from: Station;
  to: Station;
  what: (typeof HOPS)[number];
  /** What befell it, or how it ended: `lost`, `late`, `again`, a status, an outcome, a reason. */
  outcome?: string;
  /** In words, for what carries no bytes. */
  text?: string;
  /** Base64url. */
  bytes?: string;
}>;

export type PaymentView = Readonly<{
  kind: 'payment';
  /** Of the row on this page: there is one before anything has been signed. */
  id: string;
  /** Hex of the request's own id, once it is signed. */
  request?: string;
  device: string;
  payee?: string;
  amount?: Amount;
  /** `pay`, or what a kiosk does to an order; once it is signed. */
  action?: string;
  /**
   * `asking` until it is confirmed, `waiting` until its final receipt; `not_sent` was never signed.
   */
  state:
    | 'asking'
    | 'waiting'
    | 'paid'
    | 'held'
    | 'refunded'
    | 'voided'
    | 'refused'
    | 'expired'
    | 'not_sent';
  reason?: string;
}>;

// ── the companion ────────────────────────────────────────────────────────────────────────────

export type MandateView = Readonly<{
  id: string;
  /** Whose key it names. */
  device: string;
  status: 'active' | 'suspended' | 'revoked' | 'expired' | 'finished';
  currency: string;
  /** Minor units as text, like all amounts here. */
  perPaymentMax: string;
  /** Seconds since 1970. */
  until: number;
  windows: readonly Readonly<{
    /** `total`, or a length of time, as `day`. */
    period: string;
    max: string;
    /** What is spent or reserved. */
    used: string;
    count: number;
    usedCount: number;
  }>[];
}>;

export type PairingView = Readonly<{
  /** As the device shows it: "7K3QD-9XMPA". */
  code: string;
  device: string;
  kind: DeviceView['kind'];
}>;

export type StatementRow = Readonly<{
  /** Hex of the request's id. */
  id: string;
  atMs: number;
  action: string;
  device: string;
  payee: string;
  amount?: Amount;
  /** `pending` without a definite word. */
  outcome: string;
  reason?: string;
}>;

// ── events ───────────────────────────────────────────────────────────────────────────────────

export type Hello = Readonly<{
  kind: 'hello';
  /** Of the program. */
  version: string;
  language: Language;
  currency: string;
  payees: readonly Readonly<{ id: string; names: Names }>[];
  catalogue: readonly Offer[];
  devices: readonly DeviceView[];
  troubles: readonly TroubleView[];
  scenarios: readonly ScenarioView[];
}>;

/**
 * A stream begins with `hello`, then everything as it is, `now`, and from then on what changes. A
 * page that reads too slowly is cut off, connects again and begins anew with `hello`.
 */
export type Event =
  | Hello
  | Readonly<{ kind: 'now' }>
  /** Told of each device, and again when anything of it changes; `hello` knows no later one. */
  | Readonly<{
      kind: 'device';
      device: DeviceView;
      /** Whether it can pay: connected, with a fresh tick. */
      isOnline: boolean;
      isWorn: boolean;
      /** Payments without a final receipt in its outbox. */
      open: number;
      /** `pairing`: it has a key and waits to be approved. */
      life: 'up' | 'down' | 'pairing';
    }>
  /** `seq` rises with each device's every showing. */
  | Readonly<{ kind: 'shown'; device: string; seq: number; shown: Shown }>
  | Hop
  | PaymentView
  /**
   * Counted from the ledger's transfers and the devices' outboxes, since this run began. `isKnown`
   * is false while the ledger cannot be asked.
   */
  | Readonly<{
      kind: 'tally';
      asked: number;
      paid: number;
      /** Requests or orders for which money left twice. */
      twice: number;
      /** Told to be paid and not at the ledger, or neither ended nor in an outbox. */
      lost: number;
      waiting: number;
      /** Ended without money: refused or expired. */
      refused: number;
      isKnown: boolean;
    }>
  /** `isFresh` is false while the bridge is away: then it is what was known last. */
  | Readonly<{ kind: 'mandates'; list: readonly MandateView[]; isFresh: boolean }>
  | Readonly<{ kind: 'pairings'; list: readonly PairingView[] }>
  /** Newest first. */
  | Readonly<{ kind: 'statement'; rows: readonly StatementRow[]; isFresh: boolean }>
  | (Readonly<{ kind: 'trouble' }> & TroubleView)
  | Readonly<{ kind: 'language'; language: Language }>
  /** `by` is `story`, or the name of a scenario; `isEnd` is its last line. */
  | Readonly<{
      kind: 'narration';
      by: string;
      text: string;
      mood?: 'scene' | 'good' | 'bad';
      isEnd?: boolean;
    }>;

// ── verbs ────────────────────────────────────────────────────────────────────────────────────

/** `Sensed` of device/sense/sensed.ts as JSON: bytes are base64, or base64url. */
export type SensedJson =
  | Readonly<{ kind: 'utterance'; text: string }>
  | Readonly<{ kind: 'tag'; message: string }>
  | Readonly<{ kind: 'link'; text: string }>
  | Readonly<{ kind: 'picture'; png: string }>
  | Readonly<{ kind: 'press' }>
  | Readonly<{ kind: 'pin'; digits: string }>
  | Readonly<{ kind: 'worn'; how: 'on' | 'off' | 'unpaired' }>;

/** A tag of the deck. What it is tapped on takes it by `sense`. */
export type TagView = Readonly<{
  kind: 'order' | 'payee' | 'payer' | 'foreign';
  /** The link that is on it. */
  uri: string;
  /** Its NDEF message, base64url. */
  message: string;
}>;

/** Everything about one message of a payment. */
export type Detail = Readonly<{
  /** As `saytap inspect` prints it; absent for what are no bytes of ours. */
  annotated?: readonly string[];
  /** JSON of a call, set out in lines. */
  json?: string;
  /** Whether the signature holds, under whose key; absent where nothing is signed. */
  signature?: Readonly<{ isValid: boolean; by: string; why?: string }>;
  /** What the bridge decided about this payment so far, line by line. */
  decision: readonly string[];
  /** What the ledger moved for it. */
  postings: readonly Readonly<{ from: string; to: string; amount: Amount; kind: string }>[];
}>;

type Nothing = Readonly<Record<string, never>>;

/**
 * Every verb with what it asks and what it is answered, with 200. A refusal is a `Refusal` with a
 * status of 400 or more. What becomes of a deed is told by events: a verb does not wait for it.
 */
export type Verbs = Readonly<{
  /** This, `order` and `clerk` become a Touch of device/touch.ts, which hands it to the device. */
  sense: { asks: Readonly<{ device: string; sensed: SensedJson }>; answers: Nothing };
  /** `minor` is for the whole line. */
  order: {
    asks: Readonly<{
      kiosk: string;
      lines: readonly Readonly<{ text: string; quantity: number; minor: string }>[];
    }>;
    answers: Readonly<{ id: string; uri: string }>;
  };
  /** A line as the clerk types it: "refund last 5 yuan", "collect 12 yuan"; empty is the button. */
  clerk: { asks: Readonly<{ kiosk: string; text: string }>; answers: Nothing };
  /** The tags that lie before a kiosk: its newest order, its sticker, a payer's, a foreign one. */
  tags: { asks: Readonly<{ kiosk: string }>; answers: Readonly<{ tags: readonly TagView[] }> };
  /** The glasses look at what is on the kiosk's screen: a picture of its code. */
  look: { asks: Readonly<{ device: string; kiosk: string }>; answers: Nothing };
  /** A new device makes its key and shows its short code; it runs once it is approved. */
  add: {
    asks: Readonly<{ kind: DeviceView['kind'] }>;
    answers: Readonly<{ name: string; code: string }>;
  };
  approve: { asks: Readonly<{ code: string }>; answers: Nothing };
  refuse: { asks: Readonly<{ code: string }>; answers: Nothing };
  /** kill −9 of a device, or of `bridge`, `risk` or `ledger`; started again by itself. */
  kill: { asks: Readonly<{ name: string }>; answers: Nothing };
  /** Without `device` where one could be meant: of all. */
  trouble: {
    asks: Readonly<{ name: TroubleName; on: boolean; device?: string; share?: number }>;
    answers: Nothing;
  };
  /** Ends all trouble. */
  calm: { asks: Nothing; answers: Nothing };
  /** Without `mandate` all of them, those on their way included. */
  revoke: { asks: Readonly<{ mandate?: string }>; answers: Nothing };
  /** The wallet grants a device anew; answers what its owner was shown. */
  grant: { asks: Readonly<{ device: string }>; answers: Readonly<{ text: string }> };
  /** What the devices speak from now on. */
  language: { asks: Readonly<{ language: Language }>; answers: Nothing };
  scenario: { asks: Readonly<{ name: string }>; answers: Nothing };
  /** `hop` is its number. */
  detail: { asks: Readonly<{ payment: string; hop: number }>; answers: Detail };
}>;

export type VerbName = keyof Verbs;
export type Asks<V extends VerbName> = Verbs[V]['asks'];
export type Answers<V extends VerbName> = Verbs[V]['answers'];

/** `reason` is of src/errors.ts where it is a refusal of the product. */
export type Refusal = Readonly<{ reason: string; why: string }>;
