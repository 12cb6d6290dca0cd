/**
 * The lists of a running ledger, read over its signed calls: balances and movements.
 *
 * What cannot be read exactly is refused as a whole, because both readers, the audit of the bridge
 * and the journal for outside eyes, would rather have no list than one with a gap.
 */
import * as z from 'zod/mini';
import { PaymentError } from '../../src/errors.ts';
import { BACKEND_TIMEOUT_MS } from '../../src/limits.ts';
import type { Clock, Http, Random } from '../../src/platform.ts';
import { fromBody, signCall } from '../hmac.ts';
import type { Standing, Transfer } from './accounts.ts';

/** All reject with PaymentError `unavailable`, its cause the HttpFailure where there was one. */
export type Lists = Readonly<{
  /** Every account. Movements made meanwhile show in some pages; `through` tells which. */
  balances: () => Promise<readonly Standing[]>;
  /** One page of movements after number `after`, in their order; empty at the end of the list. */
  transfers: (after: number) => Promise<readonly Transfer[]>;
}>;

/** The lists of the ledger at `url` (no slash at the end). */
export function createLists(
  options: Readonly<{
    http: Http;
    url: string;
    secret: Uint8Array;
    clock: Clock;
    random: Random;
    timeoutMs?: number;
  }>,
): Lists {
  const { http, url, timeoutMs = BACKEND_TIMEOUT_MS } = options;

  async function page<T extends z.ZodMiniType>(path: string, schema: T): Promise<z.infer<T>> {
    const call = signCall(options, { method: 'GET', url: url + path, timeoutMs });
    const { status, body } = await http(call).catch((cause: unknown) => {
      throw unavailable('The ledger does not answer.', { cause });
    });
    const read = z.safeParse(schema, fromBody(body));
    if (status === 200 && read.success) return read.data;
    throw unavailable(`The ledger answered with status ${status}, or not with its list.`);
  }

  return Object.freeze({
    async balances() {
      const found: Standing[] = [];
      for (;;) {
        const after = found.at(-1)?.account ?? '';
        const search = new URLSearchParams({ after });
        const { through, accounts } = await page(`/v1/balances?${search}`, BALANCES);
        if (accounts.length === 0) return found;
        for (const { account, kind, currency, minor } of accounts) {
          if (account <= (found.at(-1)?.account ?? '')) throw unavailable(DISORDERED);
          const money = Object.freeze({ currency, minor: BigInt(minor) });
          found.push(Object.freeze({ account, kind, money, through }));
        }
      }
    },
    async transfers(after: number) {
      const { transfers } = await page(`/v1/transfers?after=${after}`, TRANSFERS);
      let last = after;
      return transfers.map(({ currency, minor, ...rest }) => {
        if (rest.number <= last) throw unavailable(DISORDERED);
        last = rest.number;
        return Object.freeze({
          ...rest,
          amount: Object.freeze({ currency, minor: BigInt(minor) }),
        });
      });
    },
  });
}

const DISORDERED = 'The list of the ledger is out of order.';

const COUNT = z.int().check(z.minimum(0));
const CURRENCY = z.string().check(z.regex(/^[A-Z]{3}$/));
const NAME = z.string().check(z.regex(/^[!-~]+$/));

const BALANCES = z.strictObject({
  through: COUNT,
  accounts: z.array(
    z.strictObject({
      account: NAME,
      kind: z.enum(['outside', 'funding', 'holding', 'payee']),
      currency: CURRENCY,
      minor: z.string().check(z.regex(/^(0|-?[1-9][0-9]*)$/)),
    }),
  ),
});

const TRANSFERS = z.strictObject({
  transfers: z.array(
    z.strictObject({
      number: COUNT,
      debit: NAME,
      credit: NAME,
      currency: CURRENCY,
      minor: z.string().check(z.regex(/^[1-9][0-9]{0,15}$/)),
      kind: z.enum(['top_up', 'pay', 'hold', 'capture', 'release', 'refund']),
      key: NAME,
      payment: NAME,
      atMs: COUNT,
    }),
  ),
});

function unavailable(message: string, options?: { cause: unknown }): PaymentError {
  return new PaymentError('unavailable', message, options);
}
