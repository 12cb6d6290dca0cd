/**
 * The ledger as a program of its own: the sandbox backend of a fresh installation.
 */
import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import * as z from 'zod/mini';
import { fromHex } from '../../src/bytes.ts';
import { settingsOf } from '../../src/config.ts';
import { OperatorError, PaymentError } from '../../src/errors.ts';
import { HTTP_BYTES_MAX, HTTP_PAGE_ROWS, HTTP_SECRET_BYTES_MIN } from '../../src/limits.ts';
import { createHttp, serveHttp } from '../../src/node/http.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { HttpFailure, type Random } from '../../src/platform.ts';
import { SERVICE, readService } from '../service.ts';
import type { Standing, Transfer } from './accounts.ts';
import { openBooks } from './books.ts';
import { journalOf } from './journal.ts';
import { createLists } from './lists.ts';
import { createNotices } from './notices.ts';
import { FAULTS, createLedgerService, type Fault } from './service.ts';

/** A running ledger: `port` is the one that was chosen for port 0. */
export type RunningLedger = Readonly<{ url: string; port: number; stop: () => Promise<void> }>;

/**
 * Runs the service of a configuration file until SIGTERM or SIGINT, then finishes the calls under
 * way. Throws OperatorError `config`, `key`, `storage` or `address`, for the person at the machine.
 */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const running = await startLedger(readService({ files, random }, CONFIG, configFile), write);
  await told;
  await running.stop();
}

/** Runs the service on options as they are; `stop` ends it. Throws as `main` does. */
export async function startLedger(
  options: unknown,
  write: (line: string) => void,
): Promise<RunningLedger> {
  const parsed = z.safeParse(OPTIONS, options);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    );
    throw new OperatorError('config', `The ledger's options are wrong: ${problems.join('; ')}.`);
  }
  const { listen, database: path, notify, faults, environment } = parsed.data;
  const secret = fromHex(parsed.data.secret);
  const database = openDatabase(path);
  const client = createHttp();
  try {
    const notices =
      notify && createNotices({ http: client.http, timers, random, clock, secret, ...notify });
    const service = createLedgerService({
      books: openBooks({ database, clock }),
      secret,
      clock,
      timers,
      environment,
      ...(notices && { notices }),
      ...(faults && { faults: { ...faults, random: seededRandom(faults.seed) } }),
    });
    const server = await serveHttp({ ...listen, bytesMax: HTTP_BYTES_MAX, answer: service.answer });
    const url = `http://${listen.host}:${server.port}`;
    write(`ledger listening on ${url}${faults ? ' with faults' : ''}`);
    return Object.freeze({
      url,
      port: server.port,
      async stop() {
        await server.close();
        service.close();
        notices?.close();
        client.close();
        database.close();
      },
    });
  } catch (error) {
    client.close();
    database.close();
    throw error;
  }
}

/**
 * Writes the whole ledger of a configuration file, line by line, as a journal that other people's
 * bookkeeping programs can check. Asks the ledger when it runs, and opens its database itself when
 * nothing listens. Throws OperatorError `config`, `key`, `storage`, or `failed` when what listens
 * there cannot be read as this ledger.
 */
export async function exportJournal(
  configFile: string,
  write: (line: string) => void,
): Promise<void> {
  const settings = readService({ files, random }, CONFIG, configFile) as z.infer<typeof OPTIONS>;
  const { host, port } = settings.listen;
  const client = createHttp();
  try {
    const url = `http://${REACHED_AT[host] ?? host}:${port}`;
    const secret = fromHex(settings.secret);
    const lists = createLists({ http: client.http, url, secret, clock, random });
    const standings = port === 0 ? undefined : await lists.balances().catch(unlessAway);
    if (standings === undefined) return await exportDatabase(settings.database, write);
    for await (const line of journalOf(standings, every(lists.transfers))) write(line);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    throw new OperatorError('failed', `The ledger cannot be exported: ${error.message}`, {
      cause: error,
    });
  } finally {
    client.close();
  }
}

async function exportDatabase(path: string, write: (line: string) => void): Promise<void> {
  if (!files.list(dirname(path)).includes(basename(path))) {
    throw new OperatorError('storage', `There is no ledger at ${path}.`);
  }
  const database = openDatabase(path);
  try {
    const books = openBooks({ database, clock });
    const through = books.last();
    const standings: Standing[] = [];
    for (;;) {
      const page = books.balances(standings.at(-1)?.account ?? '', HTTP_PAGE_ROWS);
      if (page.length === 0) break;
      standings.push(...page.map((balance) => ({ ...balance, through })));
    }
    const pages = async (after: number) => books.transfers(after, HTTP_PAGE_ROWS);
    for await (const line of journalOf(standings, every(pages))) write(line);
  } finally {
    database.close();
  }
}

async function* every(
  page: (after: number) => Promise<readonly Transfer[]>,
): AsyncGenerator<Transfer> {
  for (let after = 0; ;) {
    const transfers = await page(after);
    yield* transfers;
    const last = transfers.at(-1);
    if (last === undefined) return;
    after = last.number;
  }
}

/** Undefined when certainly nobody listened, so that the database is free. */
function unlessAway(error: unknown): undefined {
  const cause = error instanceof PaymentError ? error.cause : undefined;
  if (!(cause instanceof HttpFailure) || cause.sent) throw error;
}

/** Addresses to listen on that cannot be called, and what can be called instead. */
const REACHED_AT: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]' };

const PROBABILITY = z._default(z.number().check(z.minimum(0), z.maximum(1)), 0);

const FAULT_OPTIONS = z
  .strictObject({
    ...(Object.fromEntries(FAULTS.map((name) => [name, PROBABILITY])) as Record<
      Fault,
      typeof PROBABILITY
    >),
    lateMs: z._default(z.int().check(z.minimum(0), z.maximum(600_000)), 5_000),
    seed: z._default(z.int(), 1),
  })
  .check(
    z.refine(
      (faults) => FAULTS.reduce((sum, name) => sum + faults[name], 0) <= 1,
      'the probabilities add up to more than 1',
    ),
  );

const OPTIONAL = {
  /** The bridge that is told what became of each key. */
  notify: z.optional(
    z.strictObject({
      url: z
        .string()
        .check(z.regex(/^https?:\/\/[^/]+$/, 'a URL like http://127.0.0.1:7100, without a path')),
      /** What that bridge calls this ledger. */
      name: z._default(z.string().check(z.regex(/^[\w-]{1,64}$/)), 'ledger'),
    }),
  ),
  faults: z.optional(FAULT_OPTIONS),
};

const CONFIG = z.strictObject({ ...SERVICE, ...OPTIONAL });

/** What its configuration may say. */
export const settings = settingsOf(CONFIG);

const OPTIONS = z.strictObject({
  ...SERVICE,
  secret: z.string().check(z.regex(new RegExp(`^([0-9a-f]{2}){${HTTP_SECRET_BYTES_MIN},128}$`))),
  ...OPTIONAL,
});

/** Bytes from a seed, so that a run with faults can be repeated: SHA-256 of seed and position. */
function seededRandom(seed: number): Random {
  let position = 0;
  return (count) => {
    const parts: number[] = [];
    while (parts.length < count) {
      parts.push(...createHash('sha256').update(`${seed} ${position++}`).digest());
    }
    return Uint8Array.from(parts.slice(0, count));
  };
}
