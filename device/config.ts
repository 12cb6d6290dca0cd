/** What a device is told, in one file. Paths are relative to that file. */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { PaymentError } from '../src/errors.ts';
import { CATALOGUE_MAX, TEXT_BYTES_MAX } from '../src/limits.ts';
import { exponentOf, parseDecimal } from '../src/money.ts';
import { type TlsFiles, tlsProblem } from '../src/tls.ts';

const path = z.string().check(z.minLength(1, 'a path'));
const name = z
  .string()
  .check(z.regex(/^[\w-]{1,64}$/, 'a name of 1 to 64 characters A-Z a-z 0-9 _ -'));
const httpsUrl = z
  .string()
  .check(z.regex(/^https:\/\/[^/]+$/, 'a URL like https://pay.example:8443, without a path'));
const mqttUrl = z.string().check(z.regex(/^mqtts?:\/\/[^/]+\/?$/, 'a URL like mqtt://host:1883'));

const fields = z.strictObject({
  environment: z.enum(['sim', 'live']),
  ledger: name,
  /** Its name in topics, as its Key statement says. */
  device: name,
  /** glasses: a wearer pays. kiosk: a terminal takes orders. */
  profile: z.enum(['glasses', 'kiosk']),
  language: z._default(z.enum(['en', 'zh']), 'en'),
  /** Where key and outbox live. */
  folder: path,
  /** Public key of the operator's root, PEM: the one thing that is pinned. */
  root: path,
  /** Folder with the Key statements (`*.key`) of the bridge and of the terminals to know. */
  statements: path,
  /** The platform's policy (`*.policy`), or a folder with it and those of payees and devices. */
  policy: path,
  /** Mandates (`*.mandate`) that name this device's key: what it may pay, or collect, under. */
  mandates: z.optional(path),
  /** For mqtts: PEM files of the site's authority and of this device's certificate and its key. */
  mqtt: z
    .strictObject({
      url: mqttUrl,
      ca: z.optional(path),
      certificate: z.optional(path),
      key: z.optional(path),
    })
    .check(
      z.refine((mqtt) => tlsProblem(mqtt) === undefined, {
        error: ({ input }) => tlsProblem(input as TlsFiles) ?? '',
      }),
    ),
  /** Where its signing key lies. */
  keys: z._default(
    z.discriminatedUnion(
      'store',
      [
        z.strictObject({ store: z.literal('file') }),
        z.strictObject({
          store: z.literal('pkcs11'),
          /** The PKCS #11 module: a shared library, like libsofthsm2.so. */
          module: path,
          /** The token's label. */
          token: z.string().check(z.minLength(1), z.maxLength(32)),
          /** A file with the PIN that only this device can read, or the name of a credential. */
          pin: path,
        }),
      ],
      'file, pkcs11',
    ),
    {
      store: 'file',
    },
  ),
  /**
   * A kiosk's own screen, a page for the browser of this machine: its address is in `screen.url` of
   * the folder. `catalogue` is what customers can tap on it; without one staff types the orders.
   */
  screen: z.optional(
    z
      .strictObject({
        listen: z.strictObject({
          host: z._default(z.literal('127.0.0.1'), '127.0.0.1'),
          port: z.int().check(z.minimum(0), z.maximum(65_535)),
        }),
        currency: z
          .string()
          .check(z.refine((code) => exponentOf(code) !== undefined, 'a currency, like CNY')),
        catalogue: z._default(
          z
            .array(
              z.strictObject({
                text: z.string().check(z.minLength(1), z.maxLength(TEXT_BYTES_MAX)),
                /** For one, in the unit of `currency`: "20.00". */
                price: z.string(),
              }),
            )
            .check(z.maxLength(CATALOGUE_MAX)),
          [],
        ),
      })
      .check(
        z.refine(
          ({ currency, catalogue }) => catalogue.every(({ price }) => costs(price, currency)),
          {
            error: 'prices like "20.00", in the decimals of the currency',
            path: ['catalogue'],
          },
        ),
      ),
  ),
  /** Prometheus reads http://127.0.0.1:PORT/metrics. */
  metrics: z.optional(z.strictObject({ port: z.int().check(z.minimum(0), z.maximum(65_535)) })),
  /** Whether a person types here; without a prompt it runs until SIGTERM. */
  prompt: z._default(z.boolean(), true),
  /**
   * Where `saytap device enrol` enrols it, and the authority by which it believes that server (PEM;
   * without it the system's). Then root, statements, policy, mandates and mqtt may be left out:
   * they are what was received, in its folder; and its name is the one that it was given.
   */
  enrol: z.optional(z.strictObject({ url: httpsUrl, ca: z.optional(path) })),
  log: z._default(z.enum(['debug', 'info', 'warn', 'error']), 'warn'),
});

/** Every setting; what a file that enrols leaves out is filled in by `deviceConfig`. */
export const deviceSettings = fields.check(
  z.refine(({ profile, screen }) => profile === 'kiosk' || screen === undefined, {
    error: 'only a kiosk has one',
    path: ['screen'],
  }),
);

/** Whether a price is one, and more than nothing; of an unknown currency another check tells. */
function costs(price: string, currency: string): boolean {
  if (exponentOf(currency) === undefined) return true;
  try {
    return parseDecimal(price, currency) > 0n;
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return false;
  }
}

/** What a file is read by. */
export const deviceConfig = z.pipe(z.transform(withReceived), deviceSettings);

export type DeviceConfig = Readonly<z.infer<typeof deviceConfig>>;

/** What stands in a configuration for a broker that the enrolment tells. */
export const ENROLLED_BROKER = 'mqtts://enrolled';

/** Where an enrolled device finds what it received, unless the file says otherwise. */
function withReceived(raw: unknown): unknown {
  if (typeof raw !== 'object' || raw === null || !('enrol' in raw)) return raw;
  const folder = 'folder' in raw && typeof raw.folder === 'string' ? raw.folder : '.';
  const within = (name: string) => join(folder, name);
  return {
    root: within('root.pub.pem'),
    statements: within('statements'),
    policy: within('policies'),
    mandates: within('mandates'),
    mqtt: {
      url: ENROLLED_BROKER,
      ca: within('tls.ca.pem'),
      certificate: within('tls.certificate.pem'),
      key: within('tls.key.pem'),
    },
    ...raw,
  };
}
