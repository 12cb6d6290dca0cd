/**
 * One connection to a broker, TCP or TLS, and what its failure means to a person.
 *
 * MQTT.js would open it too, but it never sets TCP_NODELAY, and it keeps to itself what a broker
 * says against a certificate: in TLS 1.3 that comes after the handshake has ended for the client.
 * The broker's name is always checked; there is no way to switch that off.
 */
import { X509Certificate } from 'node:crypto';
import { Socket, connect, isIP } from 'node:net';
import { connect as connectSecurely, createSecureContext } from 'node:tls';
import { OperatorError } from '../errors.ts';
import type { Tls } from '../platform.ts';

/** Where a broker is, out of a URL mqtt://host:1883 or mqtts://host:8883. */
export type BrokerAddress = Readonly<{ host: string; port: number; isSecure: boolean }>;

/** Throws OperatorError `config` for a URL that is no MQTT URL. */
export function parseBrokerUrl(url: string): BrokerAddress {
  if (!/^mqtts?:\/\/[^/\s@]+\/?$/.test(url) || !URL.canParse(url)) {
    const shown = url.replace(/\/\/.*@/, '//…@');
    throw new OperatorError('config', `${shown} is not like mqtt://host:1883`);
  }
  const { protocol, hostname, port } = new URL(url);
  const isSecure = protocol === 'mqtts:';
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: port === '' ? (isSecure ? 8883 : 1883) : Number(port), isSecure };
}

/**
 * Opens a connection; `failed` hears in words what broke it. Never throws: key or certificates
 * that cannot be used end it like a broker that is away, because they may be mended later.
 */
export function openStream(
  { host, port, isSecure }: BrokerAddress,
  tls: () => Tls,
  failed: (why: string) => void,
): Socket {
  let stream: Socket;
  try {
    stream = isSecure ? secureStream(host, port, tls()) : connect({ host, port });
  } catch (error) {
    stream = new Socket().destroy(error instanceof Error ? error : new Error(String(error)));
  }
  stream.setNoDelay(true);
  stream.on('error', (error) => failed(explain(error, host)));
  return stream;
}

/** Throws OperatorError `config` when these texts cannot be used, or not together. */
export function requireTls({ ca, certificate, key }: Tls): void {
  const usable = (what: string, use: () => unknown) => {
    try {
      use();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new OperatorError('config', `${what} cannot be used: ${why}`, { cause });
    }
  };
  if (ca !== undefined) usable('mqtt.ca', () => new X509Certificate(ca));
  if (certificate === undefined && key === undefined) return;
  if (certificate === undefined || key === undefined) {
    throw new OperatorError('config', 'mqtt.certificate and mqtt.key go together');
  }
  usable('mqtt.certificate with mqtt.key', () => createSecureContext({ cert: certificate, key }));
}

function secureStream(host: string, port: number, tls: Tls): Socket {
  const { ca, certificate, key } = tls;
  return connectSecurely({
    host,
    port,
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { cert: certificate }),
    ...(key !== undefined && { key }),
    // RFC 9325 §3.1.1.
    minVersion: 'TLSv1.2',
  });
}

/** What went wrong and, where a person has to do something, what. */
function explain(error: NodeJS.ErrnoException, host: string): string {
  const alert = Number(/SSL alert number (\d+)/.exec(error.message)?.[1]);
  const code = error.code ?? '';
  const told = REFUSED_BY_BROKER.get(alert) ?? REFUSED_HERE.get(code);
  if (told !== undefined) return told;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return (
      `the broker's certificate is not for ${host}: put a name that it is for into mqtt.url, ` +
      `or issue one for this name (saytap broker config --host ${host})`
    );
  }
  return error.message || code || 'connection failed';
}

/** Not every broker says why: aedes, like all of Node, just closes. */
export const CLOSED_AT_ONCE =
  "the broker ended the connection at once: it may not take this program's certificate";

const OWN_CERTIFICATE = "the broker does not take this program's certificate (mqtt.certificate)";
const ENROL_AGAIN = 'enrol the device again, or issue one with saytap broker certificate';
const FOREIGN =
  'the broker shows a certificate that the authority in mqtt.ca has not issued: ' +
  "put the certificate of the site's own authority there, unless the broker is a stranger's";

/** By the number of the alert (RFC 8446 §6), which no version of OpenSSL renames. */
const REFUSED_BY_BROKER: ReadonlyMap<number, string> = new Map([
  [42, `${OWN_CERTIFICATE}: it is damaged; ${ENROL_AGAIN}`],
  [44, `${OWN_CERTIFICATE}: it is revoked; ${ENROL_AGAIN}`],
  [45, `${OWN_CERTIFICATE}: it has ended, or begins later; ${ENROL_AGAIN}`],
  [46, `${OWN_CERTIFICATE}; ${ENROL_AGAIN}`],
  [48, `${OWN_CERTIFICATE}: another authority issued it; ${ENROL_AGAIN}`],
  [116, `the broker wants a certificate: set mqtt.certificate and mqtt.key; ${ENROL_AGAIN}`],
]);

/** By Node's code for what this side has against the broker's certificate. */
const REFUSED_HERE: ReadonlyMap<string, string> = new Map([
  [
    'CERT_HAS_EXPIRED',
    "the broker's certificate has ended by this machine's clock: " +
      'renew it with saytap broker config, or set the clock',
  ],
  [
    'CERT_NOT_YET_VALID',
    "the broker's certificate begins later by this machine's clock: set the clock",
  ],
  ...[
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'CERT_SIGNATURE_FAILURE',
    'CERT_UNTRUSTED',
  ].map((code) => [code, FOREIGN] as const),
]);
