/**
 * The risk service as a program of its own.
 */
import * as z from 'zod/mini';
import { fromHex } from '../../src/bytes.ts';
import { settingsOf } from '../../src/config.ts';
import { OperatorError } from '../../src/errors.ts';
import { HTTP_BYTES_MAX, HTTP_SECRET_BYTES_MIN, RISK_PRUNE_MS } from '../../src/limits.ts';
import { serveHttp } from '../../src/node/http.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { openHistory } from './history.ts';
import { SERVICE, readService } from '../service.ts';
import { createRiskService } from './service.ts';

/** A running service: `port` is the one that was chosen for port 0. */
export type RunningRisk = Readonly<{ url: string; port: number; stop: () => Promise<void> }>;

/**
 * Runs the service of a configuration file until SIGTERM or SIGINT, then finishes the calls under
 * way. Throws OperatorError `config`, `key`, `storage` or `address`, for the person at the machine.
 */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const told = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const running = await startRisk(readService({ files, random }, CONFIG, configFile), write);
  await told;
  await running.stop();
}

/** Runs the service on options as they are; `stop` ends it. Throws as `main` does. */
export async function startRisk(
  options: unknown,
  write: (line: string) => void,
): Promise<RunningRisk> {
  const parsed = z.safeParse(OPTIONS, options);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    );
    const line = `The risk service's options are wrong: ${problems.join('; ')}.`;
    throw new OperatorError('config', line);
  }
  const { listen, database: path, secret, thresholds, environment } = parsed.data;
  const database = openDatabase(path);
  try {
    const history = openHistory({ database, clock });
    const service = createRiskService({
      history,
      secret: fromHex(secret),
      clock,
      timers,
      environment,
      ...(thresholds && { thresholds }),
    });
    const server = await serveHttp({ ...listen, bytesMax: HTTP_BYTES_MAX, answer: service.answer });
    let cancel = () => {};
    const prune = () => {
      try {
        history.prune();
      } catch (error) {
        write(`risk cannot forget old answers yet: ${(error as Error).message}`);
      }
      cancel = timers.after(RISK_PRUNE_MS, prune);
    };
    prune();
    const url = `http://${listen.host}:${server.port}`;
    write(`risk listening on ${url}`);
    return Object.freeze({
      url,
      port: server.port,
      async stop() {
        cancel();
        await server.close();
        database.close();
      },
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

const SCORE = z.int().check(z.minimum(0), z.maximum(1_001));

const THRESHOLDS = z.optional(z.strictObject({ stepUp: SCORE, deny: SCORE }));

const CONFIG = z.strictObject({ ...SERVICE, thresholds: THRESHOLDS });

/** What its configuration may say. */
export const settings = settingsOf(CONFIG);

const OPTIONS = z.strictObject({
  ...SERVICE,
  secret: z.string().check(z.regex(new RegExp(`^([0-9a-f]{2}){${HTTP_SECRET_BYTES_MIN},128}$`))),
  thresholds: THRESHOLDS,
});
