/**
 * How a service beside the bridge is configured and run: the risk service and the ledger are the
 * same kind of program, an HTTP server with a secret and a database of its own.
 */
import { dirname, resolve } from 'node:path';
import * as z from 'zod/mini';
import { toHex } from '../src/bytes.ts';
import { parseConfig } from '../src/config.ts';
import { requireText } from '../src/files.ts';
import { openSecretFile } from '../src/keyfile.ts';
import type { Files, Random } from '../src/platform.ts';

/** What both are told; paths are relative to the configuration file. */
export const SERVICE = {
  /** In `sim`, and only there, magic amounts and payees get the answers that they ask for. */
  environment: z._default(z.enum(['live', 'sim']), 'live'),
  listen: z.strictObject({
    host: z.string().check(z.minLength(1)),
    port: z.int().check(z.minimum(0), z.maximum(65_535)),
  }),
  database: z.string().check(z.minLength(1)),
  /** File with the secret shared with the bridge, 32 bytes in hex; created on first use. */
  secret: z.string().check(z.minLength(1)),
};

/** Reads a service's file: paths resolved, and the secret itself in place of its file. */
export function readService(
  ports: Readonly<{ files: Files; random: Random }>,
  schema: z.ZodMiniType<Readonly<{ database: string; secret: string }>>,
  configFile: string,
): unknown {
  const config = parseConfig(schema, requireText(ports.files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const secret = openSecretFile(ports.files, ports.random, at(config.secret), 32);
  return { ...config, database: at(config.database), secret: toHex(secret) };
}
