/**
 * The real risk service and the real ledger inside the measured process: their own databases,
 * signed calls and answers, and everything but the sockets between.
 */
import { join } from 'node:path';
import type { Backend } from '../broker/backends/port.ts';
import { createLedgerBackend } from '../broker/backends/ledger.ts';
import { openBooks } from '../broker/ledger/books.ts';
import { createLedgerService } from '../broker/ledger/service.ts';
import { type RiskClient, createRiskClient } from '../broker/risk/client.ts';
import { openHistory } from '../broker/risk/history.ts';
import { createRiskService } from '../broker/risk/service.ts';
import { clock, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { type Http, type HttpQuestion, type HttpReply, HttpFailure } from '../src/platform.ts';

type Service = Readonly<{ answer: (question: HttpQuestion) => Promise<HttpReply> }>;

/** Both services over databases in `folder`, with one funding account linked to `wallet`. */
export function startServices(
  folder: string,
  account: Readonly<{ funding: string; wallet: string }>,
): Readonly<{ risk: RiskClient; backend: Backend; close: () => void }> {
  const databases = ['risk.db', 'ledger.db'].map((name) => openDatabase(join(folder, name)));
  const secret = random(32);
  const books = openBooks({ database: databases[1]!, clock });
  books.openFunding({ ...account, balance: { currency: 'CNY', minor: 10n ** 12n } });
  const history = openHistory({ database: databases[0]!, clock });
  const never = { stepUp: 1_001, deny: 1_001 };
  const riskService = createRiskService({ history, secret, clock, timers, thresholds: never });
  const ledger = createLedgerService({ books, secret, clock, timers });
  const ports = { secret, clock, random };
  const url = 'http://127.0.0.1';
  return {
    risk: createRiskClient({ ...ports, url, http: httpTo(riskService) }),
    backend: createLedgerBackend({ ...ports, url, http: httpTo(ledger) }),
    close: () => databases.forEach((database) => database.close()),
  };
}

/** Calls a service without a socket. */
function httpTo(service: Service): Http {
  return async ({ method, url, headers, body }) => {
    const { pathname, search } = new URL(url);
    const reply = await service.answer({ method, path: pathname + search, headers, body });
    if (reply === 'drop') throw new HttpFailure('dropped', true);
    return reply;
  };
}
