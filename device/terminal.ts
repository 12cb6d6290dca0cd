/**
 * The kiosk's line: a basket becomes a signed Order, the order becomes a code, the code gets paid.
 *
 * The order goes into the outbox like a payment and is sent up until the bridge's last word on it,
 * so the kiosk learns that it was paid even if it was off at that moment. The code is shown only
 * when the bridge has the order: nobody can look at one that would be refused as unknown.
 */
import { type Realm, type Signer, identify } from '../src/cose.ts';
import { PaymentError, reasonName } from '../src/errors.ts';
import { CODE_CHARS_MAX, ORDER_VALID_S } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import { type OrderLine, order as orderKind } from '../src/objects/order.ts';
import { type Receipt, isFinal } from '../src/objects/receipt.ts';
import type { Random } from '../src/platform.ts';
import type { DeviceLink } from './link.ts';
import type { Outbox } from './outbox.ts';
import { orderUri } from './sense/uri.ts';
import type { Time } from './time.ts';

/** An order on the kiosk's screen. */
export type OpenOrder = Readonly<{
  id: string;
  envelope: Uint8Array;
  /** What the code on the screen says. */
  uri: string;
  /** Resolves when the bridge has the order, so that it may be shown; rejects when it refuses. */
  registered: Promise<void>;
  /** Resolves with the bridge's last word: paid, or expired. */
  settled: Promise<Receipt>;
}>;

export type Terminal = Readonly<{
  /**
   * Signs, stores and sends an order. Throws `offline_not_allowed` without a fresh tick,
   * `too_large` when it fits no code, `unavailable` when the disk refuses; then there is no order.
   */
  order: (lines: readonly OrderLine[], currency: string) => Promise<OpenOrder>;
  /** Called by the link for every verified receipt. */
  hear: (id: string, receipt: Receipt) => void;
}>;

export function createTerminal(
  parts: Readonly<{
    realm: Realm;
    signer: Signer;
    /** This terminal's own Key statement: payee and terminal of its orders. */
    statement: KeyStatement;
    time: Time;
    outbox: Outbox;
    link: () => DeviceLink;
    random: Random;
    /** The last word on an order from before a restart. */
    earlier: (id: string, receipt: Receipt) => void;
  }>,
): Terminal {
  const { statement, time } = parts;
  const open = new Map<string, Waiting>();

  return {
    async order(lines, currency) {
      const nowMs = time.trustedMs();
      if (nowMs === undefined || parts.link().state() !== 'ready') {
        throw new PaymentError('offline_not_allowed', 'the bridge is not there');
      }
      const minor = lines.reduce((sum, { total }) => sum + total, 0n);
      const envelope = await seal(
        orderKind,
        {
          exp: Math.floor(nowMs / 1000) + ORDER_VALID_S,
          amount: { currency, minor },
          payee: statement.payee!,
          terminal: statement.terminal!,
          lines,
          salt: parts.random(16),
        },
        parts.realm,
        parts.signer,
      );
      const uri = orderUri(envelope);
      if (uri.length > CODE_CHARS_MAX) {
        throw new PaymentError('too_large', 'the order does not fit a code: fewer lines');
      }
      const { id } = identify(envelope, parts.realm, orderKind.name);
      const entry = { id, kind: 'order', envelope, storedMs: nowMs } as const;
      parts.outbox.put(entry);

      const registered = Promise.withResolvers<void>();
      const settled = Promise.withResolvers<Receipt>();
      registered.promise.catch(() => {}); // Whoever does not wait for it hears of it by `settled`.
      open.set(id, {
        register: registered.resolve,
        refuse: registered.reject,
        settle: settled.resolve,
      });
      parts.link().send(entry);
      return {
        id,
        envelope,
        uri,
        registered: registered.promise,
        settled: settled.promise,
      };
    },
    hear(id, receipt) {
      const waiting = open.get(id);
      if (!isFinal(receipt.outcome)) return waiting?.register();
      if (!waiting) return parts.earlier(id, receipt);
      open.delete(id);
      // Paid or expired means that it was registered; a refused order must not be shown.
      if (receipt.outcome === 'refused') {
        const reason = reasonName(receipt.reason ?? 0) ?? 'unavailable';
        waiting.refuse(new PaymentError(reason, 'the bridge refuses this order'));
      }
      waiting.register();
      waiting.settle(receipt);
    },
  };
}

type Waiting = Readonly<{
  register: () => void;
  refuse: (why: PaymentError) => void;
  settle: (receipt: Receipt) => void;
}>;
