/** The person at the ledger's counter: opens accounts, pays money in, reads balances. */
import * as z from 'zod/mini';
import { OperatorError } from '../src/errors.ts';
import { BACKEND_TIMEOUT_MS } from '../src/limits.ts';
import type { Money } from '../src/money.ts';
import type { Clock, Http, Random } from '../src/platform.ts';
import { fromBody, signCall } from '../broker/hmac.ts';

/** Amounts are what an account holds now; a hold is on an account of its own. */
export type LedgerBalance = Readonly<{ account: string; kind: string; money: Money }>;

export type Teller = Readonly<{
  /** Opens a funding account, linked to a wallet if any, or leaves it as it is. */
  open: (funding: string, wallet: string | undefined, balance: Money) => Promise<void>;
  /** Pays in from outside; the same key pays in once. */
  deposit: (key: string, funding: string, amount: Money) => Promise<void>;
  balances: () => Promise<readonly LedgerBalance[]>;
  /** Whether every account adds up by an independent recount. */
  isBalanced: () => Promise<boolean>;
}>;

export function createTeller(
  options: Readonly<{ http: Http; url: string; secret: Uint8Array; clock: Clock; random: Random }>,
): Teller {
  async function ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
    const call = signCall(options, {
      method,
      url: options.url + path,
      body,
      timeoutMs: BACKEND_TIMEOUT_MS,
    });
    const { status, body: answer } = await options.http(call);
    if (status !== 200)
      throw new OperatorError('failed', `the ledger answers ${status} to ${path}`);
    return fromBody(answer);
  }

  return {
    open: async (funding, wallet, { currency, minor }) => {
      await ask('POST', '/v1/accounts', { funding, wallet, currency, minor: String(minor) });
    },
    deposit: async (key, funding, { currency, minor }) => {
      await ask('POST', '/v1/deposits', { key, funding, currency, minor: String(minor) });
    },
    balances: async () =>
      BALANCES.parse(await ask('GET', '/v1/balances')).accounts.map(
        ({ account, kind, currency, minor }) => ({
          account,
          kind,
          money: { currency, minor: BigInt(minor) },
        }),
      ),
    isBalanced: async () => CHECK.parse(await ask('GET', '/v1/check')).balanced,
  };
}

const BALANCES = z.object({
  accounts: z.array(
    z.object({ account: z.string(), kind: z.string(), currency: z.string(), minor: z.string() }),
  ),
});
const CHECK = z.object({ balanced: z.boolean() });
