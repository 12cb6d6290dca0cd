/**
 * The ledger as a program of its own: the sandbox backend of a fresh installation.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { fromHex } from '../../src/bytes.ts';
import { OperatorError } from '../../src/errors.ts';
import { HTTP_BYTES_MAX, HTTP_SECRET_BYTES_MIN } from '../../src/limits.ts';
import { serveHttp } from '../../src/node/http.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Random } from '../../src/platform.ts';
import { openBooks } from './books.ts';
import { SERVICE, readService } from '../service.ts';
import { createLedgerService } from './service.ts';

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
  const { listen, database: path, secret, faults } = parsed.data;
  const database = openDatabase(path);
  try {
    const service = createLedgerService({
      books: openBooks({ database, clock }),
      secret: fromHex(secret),
      clock,
      timers,
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
        database.close();
      },
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

const PROBABILITY = z._default(z.number().check(z.minimum(0), z.maximum(1)), 0);

const FAULTS = z.strictObject({
  loseBefore: PROBABILITY,
  loseAfter: PROBABILITY,
  late: PROBABILITY,
  lateMs: z._default(z.int().check(z.minimum(0), z.maximum(600_000)), 5_000),
  twice: PROBABILITY,
  seed: z._default(z.int(), 1),
});

const CONFIG_FAULTS = FAULTS.check(
  z.refine(
    ({ loseBefore, loseAfter, late, twice }) => loseBefore + loseAfter + late + twice <= 1,
    'the probabilities add up to more than 1',
  ),
);

const CONFIG = z.strictObject({ ...SERVICE, faults: z.optional(CONFIG_FAULTS) });

const OPTIONS = z.strictObject({
  ...SERVICE,
  secret: z.string().check(z.regex(new RegExp(`^([0-9a-f]{2}){${HTTP_SECRET_BYTES_MIN},128}$`))),
  faults: z.optional(CONFIG_FAULTS),
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
