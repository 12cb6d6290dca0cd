/** What a bridge is told, in one file. Paths are relative to that file. */
import * as z from 'zod/mini';

const path = z.string().check(z.minLength(1, 'a path'));
const name = z
  .string()
  .check(z.regex(/^[\w-]{1,64}$/, 'a name of 1 to 64 characters A-Z a-z 0-9 _ -'));
const httpUrl = z
  .string()
  .check(z.regex(/^https?:\/\/[^/]+$/, 'a URL like http://127.0.0.1:7100, without a path'));
const mqttUrl = z.string().check(z.regex(/^mqtts?:\/\/[^/]+\/?$/, 'a URL like mqtt://host:1883'));
const port = z.int('a port').check(z.minimum(0), z.maximum(65_535));

const service = z.strictObject({ url: httpUrl, secret: path });

export const bridgeConfig = z.strictObject({
  environment: z.enum(['sim', 'live']),
  /** Names this ledger in every signature. */
  ledger: name,
  /** Where the store, the bridge's key and the tick's secret live. */
  folder: path,
  /** Public key of the operator's root, PEM. */
  root: path,
  /** Folder with the Key statements (`*.key`) that the root signed. */
  statements: path,
  /** The platform's policy, signed by the root. */
  policy: path,
  mqtt: z.union(
    [
      z.strictObject({ url: mqttUrl, password: z.optional(path) }),
      z.strictObject({ listen: z.strictObject({ host: z.string(), port }) }),
    ],
    'either url (and password, a file) of a broker, or listen with host and port to embed one',
  ),
  risk: service,
  backend: z.extend(service, { kind: z.enum(['ledger']) }),
  log: z._default(z.enum(['debug', 'info', 'warn', 'error']), 'info'),
});

export type BridgeConfig = Readonly<z.infer<typeof bridgeConfig>>;
