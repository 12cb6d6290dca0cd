/** The doctor's checks that both ends have: disk, clock, certificates, broker, policies. */
import { X509Certificate } from 'node:crypto';
import { toHex } from './bytes.ts';
import type { Realm } from './cose.ts';
import { type Verdict, ok, validity, worst, wrong } from './doctor.ts';
import { PaymentError } from './errors.ts';
import { requireEach, requireText } from './files.ts';
import type { VerifyKey } from './keys.ts';
import {
  CLOCK_SKEW_S,
  DOCTOR_FREE_BYTES_MIN,
  DOCTOR_PROGRAM_BYTES_MAX,
  DOCTOR_PROGRAM_MS,
} from './limits.ts';
import { type KeyStatement, keyStatement } from './objects/key.ts';
import { open } from './objects/kind.ts';
import { type Policy, policy as policyKind } from './objects/policy.ts';
import type { Clock, Files, Http, Surroundings, Tls } from './platform.ts';
import { utc } from './sentences.ts';

/** Whether a program can keep what it has to keep, in its own folder. */
export function checkDisk(
  { files, surroundings }: Readonly<{ files: Files; surroundings: Surroundings }>,
  folder: string,
): Verdict {
  const parent = `put an existing folder into folder: of the configuration, or make ${folder}`;
  if (surroundings.changedMs(folder) === undefined) {
    return wrong(`the folder ${folder} does not exist`, parent);
  }
  const { mode } = files.access(folder);
  if ((mode & 0o007) !== 0) {
    return wrong(`everybody can look into ${folder}`, `run chmod 700 ${folder}`);
  }
  const free = surroundings.freeBytes(folder);
  const megabytes = `${Math.floor(free / 1_048_576)} MiB`;
  if (free < DOCTOR_FREE_BYTES_MIN) {
    const needed = DOCTOR_FREE_BYTES_MIN / 1_048_576;
    return wrong(
      `${megabytes} are free at ${folder}, ${needed} are needed`,
      'make room: journalctl --vacuum-size=50M, apt-get clean, or a larger disk',
    );
  }
  try {
    surroundings.tryWriting(folder);
  } catch (error) {
    return wrong(
      `nothing can be kept in ${folder}: ${messageOf(error)}`,
      'make the disk writable for the user of this program, or replace a worn card',
    );
  }
  return ok(`${folder}, ${megabytes} free, writes and syncs`);
}

/**
 * Whether the clock can be right: not before what was signed and written already, and as the bridge
 * has it. `source` is the bridge itself, whose time all others take: somebody has to keep it.
 */
export async function checkClock(
  { clock, surroundings }: Readonly<{ clock: Clock; surroundings: Surroundings }>,
  past: readonly Readonly<{ what: string; atMs: number | undefined }>[],
  bridge: 'source' | 'unknown' | Readonly<{ offMs: number }>,
): Promise<Verdict> {
  const nowMs = clock.nowMs();
  const timeOf = (ms: number) => utc(Math.floor(ms / 1000));
  const set = 'set it: timedatectl set-ntp true, or timedatectl set-time "YYYY-MM-DD hh:mm:ss"';
  const skewMs = CLOCK_SKEW_S * 1000;
  const later = past.find(({ atMs }) => atMs !== undefined && atMs > nowMs + skewMs);
  if (later) {
    const since = timeOf(later.atMs!);
    return wrong(`it says ${timeOf(nowMs)}, but ${later.what} is from ${since}`, set);
  }
  if (typeof bridge === 'object' && Math.abs(bridge.offMs) > skewMs) {
    const other = timeOf(nowMs + bridge.offMs);
    return wrong(`it says ${timeOf(nowMs)}, but the clock of the bridge ${other}`, set);
  }
  const told = await surroundings.run('timedatectl', ['show', '-p', 'NTPSynchronized', '--value']);
  switch (told?.trim()) {
    case 'yes':
      return ok(`${timeOf(nowMs)}, synchronised`);
    case 'no':
      if (bridge === 'source') {
        return wrong(`it says ${timeOf(nowMs)}, and nothing synchronises it`, set);
      }
      return ok(`${timeOf(nowMs)}, not synchronised; payments take their time from the bridge`);
    default:
      return ok(`${timeOf(nowMs)}; whether it is synchronised is not known here`);
  }
}

/** A certificate's name, its end, and whether this authority issued it. */
export function checkCertificate(
  { files, clock }: Readonly<{ files: Files; clock: Clock }>,
  path: string,
  expected: Readonly<{ ca: string | undefined; name: string | undefined; renew: string }>,
): Verdict {
  const own = new X509Certificate(requireText(files, path));
  const { ca, name, renew } = expected;
  const called = /^CN=(.*)$/m.exec(own.subject)?.[1];
  if (name !== undefined && called !== name) {
    return wrong(`the certificate ${path} is for ${called}, not for ${name}`, renew);
  }
  if (ca !== undefined) {
    const authority = new X509Certificate(requireText(files, ca));
    if (!own.verify(authority.publicKey)) {
      return wrong(`the authority in ${ca} did not issue ${path}`, renew);
    }
  }
  const times = [own.validFromDate, own.validToDate].map((date) => date.getTime() / 1000);
  return validity(`the certificate of ${called}`, [times[0]!, times[1]!], clock.nowMs(), renew);
}

/** Whether a broker is there, and believed. */
export async function checkBroker(
  surroundings: Surroundings,
  url: string,
  tls: () => Tls,
): Promise<Verdict> {
  const { failure, shown } = await surroundings.reach(url, tls());
  if (failure === undefined) {
    const until = shown && `, its certificate holds until ${utc(Math.floor(shown.untilMs / 1000))}`;
    return ok(`${url} answers${until ?? ''}`);
  }
  const [what, fix] = parted(failure);
  if (!shown) {
    return wrong(`${url}: ${what}`, fix ?? 'start the broker, or mend mqtt.url or the network');
  }
  const [from, until] = [shown.fromMs, shown.untilMs].map((ms) => utc(Math.floor(ms / 1000)));
  return wrong(
    `${url}: ${what} (it is for ${shown.names}, from ${from} to ${until}, by ${shown.issuer})`,
    fix,
  );
}

/** The statements of a folder; throws for the first that is not under this root. */
export function openStatements(
  files: Files,
  folder: string,
  realm: Realm,
  root: VerifyKey,
): readonly KeyStatement[] {
  return requireEach(files, folder, '.key').map(({ path, bytes }) => {
    return believed(path, () => open(keyStatement, bytes, realm, () => root).value);
  });
}

/** The policies of a file or folder; throws for the first that is not under this root. */
export function openPolicies(
  files: Files,
  path: string,
  realm: Realm,
  root: VerifyKey,
): readonly Policy[] {
  return requireEach(files, path, '.policy').map((one) => {
    return believed(one.path, () => open(policyKind, one.bytes, realm, () => root).value);
  });
}

/** When the newest of them was signed. */
export function newestMs(policies: readonly Policy[]): number | undefined {
  return policies.length === 0 ? undefined : Math.max(...policies.map(({ iat }) => iat)) * 1000;
}

/** A root that did not sign what lies here is the wrong one. */
export function checkRoot(root: VerifyKey, statements: () => readonly unknown[]): Verdict {
  const { length } = statements();
  return ok(`${toHex(root.kid)} is pinned, ${length} statements hold under it`);
}

/** Whether there is one of the platform, and none has ended or is too old for offline payments. */
export function checkPolicies(policies: readonly Policy[], path: string, nowMs: number): Verdict {
  const fix = `sign a new one (saytap root sign policy) and put it into ${path}`;
  if (!policies.some(({ scope }) => scope.kind === 'platform')) {
    return wrong(`${path} has no policy of the platform`, fix);
  }
  return worst(
    policies.map(({ scope, version, iat, exp, offline }) => {
      const whose = scope.kind === 'platform' ? 'the platform' : `a ${scope.kind}`;
      const what = `the policy of ${whose}`;
      const days = Math.floor((nowMs / 1000 - iat) / 86_400);
      const told = exp === undefined ? ok('') : validity(what, [iat, exp], nowMs, fix);
      if (told.state === 'wrong') return told;
      if (offline?.behaviour === 'prefer_online' && nowMs / 1000 > iat + offline.policyAgeMax) {
        return wrong(`${what} is ${days} days old, too old to pay offline under it`, fix);
      }
      return ok(`${what}, version ${version}, ${days} days old`);
    }),
  );
}

/** The metrics of a program on this machine, by name; throws when it does not tell. */
export async function readMetrics(
  http: Http,
  port: number,
): Promise<(name: string) => string | undefined> {
  const text = await metricsText(http, port);
  return (name) => new RegExp(`^saytap_${name} (\\S+)$`, 'm').exec(text)?.[1];
}

/** The same as the program tells them. */
export async function metricsText(http: Http, port: number): Promise<string> {
  const { body } = await http({
    ...{ method: 'GET', url: `http://127.0.0.1:${port}/metrics`, headers: {} },
    ...{ body: new Uint8Array(), timeoutMs: DOCTOR_PROGRAM_MS },
    answerBytesMax: DOCTOR_PROGRAM_BYTES_MAX,
  });
  return new TextDecoder().decode(body);
}

/** For what another check tells already. */
export const SEE = (check: string) => `see the line of ${check}`;

/** Several checks need the same thing; it is read once, or fails for each of them alike. */
export function once<T>(make: () => T): () => T {
  let made: Readonly<{ value: T }> | undefined;
  return () => (made ??= { value: make() }).value;
}

/** The thing, or `otherwise`: the check of the thing itself tells why. */
export function foundOr<T, Other>(get: () => T, otherwise: Other): T | Other {
  try {
    return get();
  } catch {
    return otherwise;
  }
}

function believed<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof PaymentError)) throw cause;
    throw new Error(`${path} does not hold under the pinned root: ${cause.message}`, { cause });
  }
}

/** The messages of the link say what is wrong, a colon, and what to do. */
function parted(failure: string): readonly [what: string, fix: string | undefined] {
  const at = failure.indexOf(': ');
  return at < 0 ? [failure, undefined] : [failure.slice(0, at), failure.slice(at + 2)];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
