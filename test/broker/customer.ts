/**
 * Whoever asks the bridge of a storm for something: a payer's device or the payee's kiosk, made of
 * the product's own outbox, link and keys, which keeps every receipt that it ever received.
 */
import { createDeviceLink } from '../../device/link.ts';
import { type Outbox, createOutbox } from '../../device/outbox.ts';
import { createTime } from '../../device/time.ts';
import { createTrust } from '../../device/trust.ts';
import { toHex } from '../../src/bytes.ts';
import type { Realm, Signer } from '../../src/cose.ts';
import type { VerifyKey } from '../../src/keys.ts';
import { connectLink } from '../../src/node/link.ts';
import { clock, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import type { Connect } from '../../src/platform.ts';
import { parseTopic } from '../../src/topics.ts';
import { presenceOf } from '../device/stage.ts';
import { mandateOf, requestOf, sealed } from './stage.ts';

/** One thing that was asked for, as it was signed. */
export type Asked = Readonly<{
  id: string;
  action: Request['action'];
  minor: bigint;
  original: string | undefined;
  customer: Customer;
}>;

export type Customer = Readonly<{
  name: string;
  outbox: Outbox;
  /** Everything asked for, oldest first. */
  asked: readonly Asked[];
  /** Id of its latest mandate; empty for a kiosk, which has none. */
  mandate: () => string;
  /** What went wrong on the way: never anything, if all is well. */
  faults: readonly string[];
  /** Resolves once the bridge has granted a mandate of this customer's key. */
  authorised: (changes: Partial<Mandate>, wallet: Signer) => Promise<void>;
  /** Resolves once it has heard a tick, without which nothing can be asked. */
  ready: () => Promise<void>;
  /** Asks: counter and envelope on disk first, then sent. Undefined while no tick was heard. */
  ask: (
    what: Readonly<{
      action: Request['action'];
      minor: bigint;
      mandate: string;
      payee: string;
      original?: string;
    }>,
  ) => Promise<Asked | undefined>;
  /** Asks the bridge to undo an entry, unless it has ended already. */
  cancel: (id: string) => Promise<void>;
  /** Sends an entry again, answered or not. */
  repeat: (id: string) => void;
  /** The final receipts that came for an entry, in their order. */
  finals: (id: string) => readonly Readonly<{ receipt: Receipt; bytes: string }>[];
  /** Final answers to the question to cancel it: it was not seen before, and never will be paid. */
  buried: (id: string) => readonly Readonly<{ receipt: Receipt; bytes: string }>[];
  close: () => Promise<void>;
}>;

export function createCustomer(
  parts: Readonly<{
    name: string;
    realm: Realm;
    url: string;
    database: string;
    signer: Signer;
    root: VerifyKey;
    statements: readonly Uint8Array[];
    policy: Uint8Array;
  }>,
): Customer {
  const { name, realm, signer } = parts;
  const outbox = createOutbox(openDatabase(parts.database));
  const time = createTime(clock);
  const trust = createTrust(realm, parts.root, parts.statements, [parts.policy], time.trustedMs);
  const heard = new Map<string, { receipt: Receipt; bytes: string }[]>();
  const waiting = new Map<string, () => void>();
  const asked: Asked[] = [];
  const faults: string[] = [];
  /** Ids of the questions to cancel, by the request. */
  const questions = new Map<string, string>();
  let tellReady = () => {};
  const isReady = new Promise<void>((done) => (tellReady = done));
  let mandate = '';

  const listening: Connect = (options, events) =>
    connectLink(options, {
      ...events,
      message(topic, payload) {
        if (parseTopic(topic)?.tail === 'receipt') {
          const { value } = trust.openFromBridge(receiptKind, payload);
          const found = heard.get(value.subject) ?? [];
          heard.set(value.subject, found);
          found.push({ receipt: value, bytes: toHex(payload) });
        }
        events.message(topic, payload);
      },
    });
  const link = createDeviceLink(
    {
      device: name,
      realm,
      url: parts.url,
      connect: listening,
      signer,
      outbox,
      presence: presenceOf(outbox, name),
      trust,
      time,
      clock,
      timers,
      random,
      log: () => {},
    },
    {
      receipt: (id, { outcome }) => (isFinal(outcome) ? waiting.get(id)?.() : undefined),
      state: (now) => (now === 'ready' ? tellReady() : undefined),
      cloned: () => void faults.push('cloned'),
      unsigned: (reason) => void faults.push(reason),
    },
  );

  const self: Customer = {
    name,
    outbox,
    asked,
    faults,
    mandate: () => mandate,
    async authorised(changes, wallet) {
      const value = mandateOf({ cnf: signer.key.name, ...changes });
      const { id, envelope } = await sealed(mandateKind, value, wallet, realm);
      const granted = new Promise<void>((done) => waiting.set(id, done));
      const entry = { id, envelope, kind: 'mandate', storedMs: clock.nowMs() } as const;
      mandate = id;
      outbox.put(entry);
      link.send(entry);
      return granted;
    },
    ready: () => isReady,
    async ask({ minor, ...what }) {
      const nonce = time.nonce();
      const trustedMs = time.trustedMs();
      if (!nonce || trustedMs === undefined) return undefined;
      const counter = outbox.counter(signer.key.name) + 1;
      const amount = { currency: 'CNY', minor };
      const exp = Math.floor(trustedMs / 1000) + 300;
      const value = requestOf({ ...what, exp, counter, amount, nonce });
      const { id, envelope } = await sealed(requestKind, value, signer, realm);
      const entry = { id, kind: 'request', envelope, storedMs: clock.nowMs() } as const;
      outbox.put(entry, { key: signer.key.name, counter });
      const { action, original } = what;
      const one = { id, action, minor, original, customer: self };
      asked.push(one);
      link.send(entry);
      return one;
    },
    async cancel(id) {
      const ask = { question: 'cancel', subject: id } as const;
      const question = await sealed(queryKind, ask, signer, realm);
      questions.set(id, question.id);
      const entry = outbox.cancel(id, question.envelope);
      if (entry) link.send(entry);
    },
    repeat: (id) => link.send(outbox.get(id)!),
    finals: (id) => (heard.get(id) ?? []).filter(({ receipt }) => isFinal(receipt.outcome)),
    buried: (id) =>
      (heard.get(questions.get(id) ?? '') ?? []).filter(({ receipt }) => isFinal(receipt.outcome)),
    async close() {
      await link.close();
      outbox.end();
    },
  };
  return self;
}
