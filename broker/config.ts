/** What a bridge is told, in one file. Paths are relative to that file. */
import * as z from 'zod/mini';
import { BACKENDS_MAX } from '../src/limits.ts';
import { type TlsFiles, tlsProblem } from '../src/tls.ts';

const path = z.string().check(z.minLength(1, 'a path'));
const name = z
  .string()
  .check(z.regex(/^[\w-]{1,64}$/, 'a name of 1 to 64 characters A-Z a-z 0-9 _ -'));
const httpUrl = z
  .string()
  .check(z.regex(/^https?:\/\/[^/]+$/, 'a URL like http://127.0.0.1:7100, without a path'));
const httpsUrl = z
  .string()
  .check(z.regex(/^https:\/\/[^/]+$/, 'a URL like https://pay.example:8443, without a path'));
const mqttUrl = z.string().check(z.regex(/^mqtts?:\/\/[^/]+\/?$/, 'a URL like mqtt://host:1883'));
const port = z.int('a port').check(z.minimum(0), z.maximum(65_535));
const listen = z.strictObject({ host: z.string(), port });

const service = z.strictObject({ url: httpUrl, secret: path });
const backend = z.extend(service, { kind: z.enum(['ledger']), name: z._default(name, 'ledger') });

export const bridgeConfig = z.strictObject({
  environment: z.enum(['sim', 'live']),
  /** Names this ledger in every signature. */
  ledger: name,
  /** Where the store, the bridge's keys, the tick's secret and the operator's socket live. */
  folder: path,
  /** Public key of the operator's root, PEM. */
  root: path,
  /** Folder with the Key statements (`*.key`) that the root signed. */
  statements: path,
  /** The policies that the root signed: a file, or a folder of them (`*.policy`). */
  policy: path,
  mqtt: z.union(
    [
      z
        .strictObject({
          url: mqttUrl,
          password: z.optional(path),
          ca: z.optional(path),
          certificate: z.optional(path),
          key: z.optional(path),
        })
        .check(
          z.refine((mqtt) => tlsProblem(mqtt) === undefined, {
            error: ({ input }) => tlsProblem(input as TlsFiles) ?? '',
          }),
        ),
      z.strictObject({ listen }),
    ],
    'either url of a broker (with password, a file, or with mqtts:// and ca, certificate and ' +
      'key, PEM files), or listen with host and port to embed one',
  ),
  risk: service,
  /** In the order in which a payment tries them. */
  backends: z.array(backend).check(
    z.minLength(1, 'at least one backend'),
    z.maxLength(BACKENDS_MAX),
    z.refine(
      (all) => new Set(all.map((one) => one.name)).size === all.length,
      'every backend has a name of its own',
    ),
  ),
  /** Where backends tell outcomes by themselves: POST /v1/notifications/NAME. */
  notifications: z.optional(z.strictObject({ listen })),
  /**
   * Where devices enrol and people approve them; `url` is how both reach it. Without certificate
   * and key (PEM, both) the bridge's own authority certifies the host of `url`.
   */
  https: z.optional(
    z
      .strictObject({ listen, url: httpsUrl, certificate: z.optional(path), key: z.optional(path) })
      .check(
        z.refine(
          ({ certificate, key }) => (certificate === undefined) === (key === undefined),
          'certificate and key together, or neither',
        ),
      ),
  ),
  /**
   * What enrolment over `https` needs: the root's private key (without a passphrase) where a site
   * keeps it on this machine, else each approval is signed with `saytap device approve --root`; and
   * where devices reach the broker, when that is not where the bridge reaches it.
   */
  enrol: z.optional(z.strictObject({ root: z.optional(path), mqtt: z.optional(mqttUrl) })),
  /** Seconds after which a payment without a definite word is cancelled at its backend. */
  cancelAfterSeconds: z.optional(z.int().check(z.minimum(1), z.maximum(86_400))),
  /** Days after which the contents of evidence are deleted; without it they are kept. */
  evidenceDays: z.optional(z.int().check(z.minimum(31), z.maximum(36_500))),
  /** Prometheus reads http://127.0.0.1:PORT/metrics. */
  metrics: z.optional(z.strictObject({ port: z.int().check(z.minimum(0), z.maximum(65_535)) })),
  log: z._default(z.enum(['debug', 'info', 'warn', 'error']), 'info'),
});

export type BridgeConfig = Readonly<z.infer<typeof bridgeConfig>>;
