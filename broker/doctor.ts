/**
 * What `saytap doctor` looks at on a bridge: keys, certificates, store, and everybody it depends
 * on, each with what to do about it.
 *
 * A bridge that runs is asked through its operator's socket. Of one that does not the store is
 * copied and opened there, and never started: a start enrols, migrates and makes what is missing.
 * The services are put a signed question that they do not know, which moves nothing and still
 * proves that they are there and share the secret.
 */
import { join } from 'node:path';
import { fromHex, toHex } from '../src/bytes.ts';
import {
  SEE,
  checkBroker,
  checkCertificate,
  checkClock,
  checkDisk,
  checkPolicies,
  checkRoot,
  foundOr,
  newestMs,
  once,
  openPolicies,
  openStatements,
  readMetrics,
} from '../src/checks.ts';
import type { Realm } from '../src/cose.ts';
import { type Check, type Verdict, ok, unchecked, validity, worst, wrong } from '../src/doctor.ts';
import { requireText } from '../src/files.ts';
import { readKeyFile, readSecretText } from '../src/keyfile.ts';
import {
  BACKEND_TIMEOUT_MS,
  DOCTOR_DAYS_MIN,
  DOCTOR_PROGRAM_MS,
  HTTP_BYTES_MAX,
  HTTP_SECRET_BYTES_MIN,
  OPERATOR_PAGE_ROWS,
} from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import {
  type Clock,
  DamagedError,
  type Database,
  type Files,
  type Http,
  type Random,
  type Surroundings,
  type Timers,
} from '../src/platform.ts';
import { nodeSigner, readPublicPem } from '../src/signer.ts';
import { readTls } from '../src/tls.ts';
import { CA_FILE } from './ca.ts';
import type { BridgeConfig } from './config.ts';
import { signCall } from './hmac.ts';
import { chooseBridgeKey } from './rotation.ts';
import { createSqliteStore } from './store/sqlite.ts';

export type DoctorPorts = Readonly<{
  files: Files;
  clock: Clock;
  timers: Timers;
  random: Random;
  http: Http;
  openDatabase: (path: string) => Database;
  surroundings: Surroundings;
  /** Puts a question to the running bridge; undefined when none runs. */
  ask: (question: object) => Promise<unknown>;
}>;

/** The checks of the bridge of a configuration; `at` resolves a path of it. */
export function bridgeChecks(
  config: BridgeConfig,
  at: (path: string) => string,
  ports: DoctorPorts,
): readonly Check[] {
  const { files, clock } = ports;
  const folder = at(config.folder);
  const realm: Realm = { environment: config.environment, ledger: config.ledger };
  const root = once(() => readPublicPem(requireText(files, at(config.root))));
  const statements = once(() => openStatements(files, at(config.statements), realm, root()));
  const policies = once(() => openPolicies(files, at(config.policy), realm, root()));
  const found = once(() => lookAtStore(folder, ports));
  const time = once(() => {
    const past = [{ what: 'the policy', atMs: newestMs(foundOr(policies, [])) }];
    return checkClock(ports, past, 'source');
  });

  /** What ends or begins says nothing by a clock that is wrong. */
  async function dated(run: (nowMs: number) => Verdict): Promise<Verdict> {
    return (await time()).state === 'wrong' ? unchecked(SEE('clock')) : run(clock.nowMs());
  }

  function rooted(run: (known: readonly KeyStatement[]) => Verdict | Promise<Verdict>) {
    const known = foundOr(statements, undefined);
    return known ? run(known) : unchecked(SEE('root key'));
  }

  const checks: Readonly<Record<string, Check['run']>> = {
    configuration: () => ok(`ledger ${config.ledger}, ${config.environment}`),
    disk: () => checkDisk(ports, folder),
    clock: time,
    'root key': () => {
      const verdict = checkRoot(root(), statements);
      const file = config.enrol?.root;
      if (file === undefined) return verdict;
      if (nodeSigner(readKeyFile(files, at(file))).key.name === root().name) return verdict;
      return wrong(`${at(file)} is not the private key of this root`, 'name the right one');
    },
    key: () => {
      // Read and not opened: what is missing is not made.
      const paths = ['bridge.key.pem', 'next.key.pem'].map((name) => join(folder, name));
      const present = paths.filter((path, at) => at === 0 || files.read(path));
      const keys = present.map((path) => nodeSigner(readKeyFile(files, path)).key);
      return rooted((known) =>
        dated((nowMs) => checkKeys(keys, known, at(config.statements), nowMs)),
      );
    },
    statements: () => rooted((known) => dated((nowMs) => checkStatements(known, nowMs))),
    policy: () =>
      rooted(() => dated((nowMs) => checkPolicies(policies(), at(config.policy), nowMs))),
    'tick secret': () => {
      secretAt(files, join(folder, 'tick.secret'));
      return ok('there, and nobody else can read it');
    },
    certificates: () => dated(() => checkCertificates(config, folder, at, ports)),
    store: async () => checkStore(await found(), folder),
    payments: async () => checkPayments(await found()),
    broker: async () => {
      const store = await found();
      return checkOwnBroker(config, at, typeof store === 'object' && 'running' in store, ports);
    },
    risk: () => checkService('the risk service', config.risk, at, ports),
    ...Object.fromEntries(
      config.backends.map(({ name, url, secret }) => [
        `backend ${name}`,
        () => checkService(`the backend ${name}`, { url, secret }, at, ports),
      ]),
    ),
    https: () => checkHttps(config, folder, at, ports),
    backups: () => unchecked('where they are is not known here; saytap bridge backup makes one'),
  };
  return Object.entries(checks).map(([name, run]) => ({ name, run }));
}

function checkKeys(
  keys: readonly Readonly<{ name: string; kid: Uint8Array }>[],
  known: readonly KeyStatement[],
  folder: string,
  nowMs: number,
): Verdict {
  const bridges = known.filter(({ role }) => role === 'bridge');
  const key = chooseBridgeKey(keys, bridges, Math.floor(nowMs / 1000));
  const kids = keys.map(({ kid }) => toHex(kid)).join(' nor ');
  const fix = `have the root sign it (saytap root sign key --role bridge) into ${folder}`;
  if (!key) return wrong(`the root has not named the key ${kids}, or no longer`, fix);
  const ends = bridges.filter((one) => nowMs < one.exp * 1000).map(({ exp }) => exp);
  const rotation = 'saytap bridge rotate, and have the root sign what it makes (docs/keys.md)';
  return validity(`the statement of ${toHex(key.kid)}`, [0, Math.max(...ends)], nowMs, rotation);
}

/** What has ended may be somebody who left; what is about to end is somebody who stays. */
function checkStatements(known: readonly KeyStatement[], nowMs: number): Verdict {
  const others = known.filter(({ role }) => role !== 'bridge');
  const last = new Map<string, KeyStatement>();
  for (const one of others) {
    const who = one.device ?? `a ${one.role}`;
    if ((last.get(who)?.exp ?? 0) < one.exp) last.set(who, one);
  }
  const alive = [...last].filter(([, { exp }]) => nowMs < exp * 1000);
  const soon = alive.filter(([, { exp }]) => exp * 1000 - nowMs < DOCTOR_DAYS_MIN * 86_400_000);
  if (soon.length > 0) {
    return wrong(
      `within ${DOCTOR_DAYS_MIN} days end the statements of ${soon.map(([who]) => who).join(', ')}`,
      'enrol them again, or have the root sign new ones (saytap root sign key)',
    );
  }
  return ok(`${alive.length} hold, ${last.size - alive.length} have ended`);
}

function secretAt(files: Files, path: string): Uint8Array {
  const secret = fromHex(readSecretText(files, path).trim());
  if (secret.length >= HTTP_SECRET_BYTES_MIN) return secret;
  throw new Error(`${path} holds ${secret.length} bytes, ${HTTP_SECRET_BYTES_MIN} are needed`);
}

function checkCertificates(
  config: BridgeConfig,
  folder: string,
  at: (path: string) => string,
  ports: DoctorPorts,
): Verdict {
  const { https, mqtt } = config;
  const authority = join(folder, CA_FILE);
  const given = 'url' in mqtt ? mqtt : undefined;
  const paths = [
    ...(ports.files.read(authority) ? [authority] : []),
    ...(https?.certificate === undefined ? [] : [at(https.certificate)]),
  ];
  const renew = 'issue a new one; saytap broker config renews those of the site';
  const verdicts = paths.map((path) =>
    checkCertificate(ports, path, { ca: undefined, name: undefined, renew }),
  );
  if (given?.certificate !== undefined) {
    readTls(ports.files, at, given);
    const ca = given.ca === undefined ? undefined : at(given.ca);
    verdicts.push(checkCertificate(ports, at(given.certificate), { ca, name: undefined, renew }));
  }
  return verdicts.length === 0
    ? unchecked('neither mqtts nor https is configured')
    : worst(verdicts);
}

/** Payments without a definite word, as the operator is told them. */
type Waiting = readonly Readonly<{ attempts: readonly Readonly<{ state: string }>[] }>[];
type Found =
  | 'absent'
  | 'in use'
  | 'too large'
  | 'damaged'
  | Readonly<{ running: Waiting }>
  | Readonly<{ seen: Waiting }>;

/** How many payments have no definite word, by where they stand; for somebody who helps. */
export async function countsOf(folder: string, ports: StorePorts): Promise<object> {
  const found = await lookAtStore(folder, ports);
  if (typeof found === 'string') return { store: found };
  const waiting = 'running' in found ? found.running : found.seen;
  const states = waiting.map(({ attempts }) => attempts.at(-1)?.state ?? 'no attempt');
  const each = [...new Set(states)].map((state) => [
    state,
    states.filter((one) => one === state).length,
  ]);
  return { store: 'running' in found ? 'in use' : 'whole', waiting: Object.fromEntries(each) };
}

type StorePorts = Pick<DoctorPorts, 'surroundings' | 'openDatabase' | 'timers' | 'random' | 'ask'>;

async function lookAtStore(folder: string, ports: StorePorts): Promise<Found> {
  const { ask, surroundings, openDatabase, timers, random } = ports;
  const running = await ask({ ask: 'payments', which: 'unresolved' });
  if (running !== undefined) return { running: running as Waiting };
  try {
    return await surroundings.lookInto(join(folder, 'bridge.db'), async (copy) => {
      const store = createSqliteStore(openDatabase(copy), timers, random);
      try {
        return await store.runs('unresolved', { atMs: 0, id: '' }, OPERATOR_PAGE_ROWS);
      } finally {
        await store.close();
      }
    });
  } catch (error) {
    if (error instanceof DamagedError) return 'damaged';
    throw error;
  }
}

function checkStore(found: Found, folder: string): Verdict {
  const path = join(folder, 'bridge.db');
  switch (found) {
    case 'absent':
      return ok('none yet: the first start makes it');
    case 'too large':
      return unchecked(`${path} is too large to be copied; saytap audit looks through it`);
    case 'damaged':
      return wrong(`${path} is damaged`, 'put back a backup: saytap bridge restore');
    case 'in use':
      return wrong(
        `a program has ${path} open, and does not answer at ${join(folder, 'operator.sock')}`,
        'see the log of the bridge, and start it again',
      );
  }
  return ok(
    'running' in found ? 'the bridge runs and answers its operator' : 'whole; no bridge runs',
  );
}

function checkPayments(found: Found): Verdict {
  if (typeof found === 'string')
    return found === 'absent' ? ok('none yet') : unchecked(SEE('store'));
  const waiting = 'running' in found ? found.running : found.seen;
  const persons = waiting.filter(({ attempts }) => attempts.at(-1)?.state === 'person').length;
  const more = waiting.length >= OPERATOR_PAGE_ROWS ? 'at least ' : '';
  if (persons > 0) {
    return wrong(
      `${more}${persons} payments wait for a person's word`,
      'saytap payments unresolved lists them; ask the backend, then saytap payments resolve',
    );
  }
  return ok(`${more}${waiting.length} are asked about by the bridge itself, none by a person`);
}

async function checkOwnBroker(
  { mqtt, metrics }: BridgeConfig,
  at: (path: string) => string,
  isRunning: boolean,
  { files, http, surroundings }: DoctorPorts,
): Promise<Verdict> {
  if (!('url' in mqtt)) {
    const { host, port } = mqtt.listen;
    if (!isRunning || port === 0) return unchecked('it is within the bridge');
    return checkBroker(surroundings, `mqtt://${host}:${port}`, () => ({}));
  }
  const reached = await checkBroker(surroundings, mqtt.url, () => readTls(files, at, mqtt));
  // A second client of the bridge's name would throw the running one out.
  if (reached.state !== 'ok' || !isRunning || !metrics?.port) return reached;
  const told = await readMetrics(http, metrics.port);
  if (told('bridge_broker_connected') !== '0') return reached;
  return wrong(
    `${mqtt.url} answers, but does not let the bridge in`,
    'the log of the bridge says why',
  );
}

/** A signed question that no service knows; one that checks the signature first refuses it. */
async function checkService(
  name: string,
  { url, secret }: Readonly<{ url: string; secret: string }>,
  at: (path: string) => string,
  ports: DoctorPorts,
): Promise<Verdict> {
  const { files, http, clock, random } = ports;
  const caller = { secret: secretAt(files, at(secret)), clock, random };
  const question = {
    method: 'GET',
    url: `${url}/v1/health`,
    timeoutMs: BACKEND_TIMEOUT_MS,
  } as const;
  let status: number;
  try {
    ({ status } = await http(signCall(caller, question)));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return wrong(`${name} cannot be reached at ${url}: ${why}`, 'start it, or mend its url');
  }
  if (status === 401 || status === 403) {
    return wrong(
      `${name} refuses our signature`,
      `give both sides the same secret (${at(secret)}) and the same time`,
    );
  }
  if (status >= 500) return wrong(`${name} answers ${status}`, 'its own log says why');
  return ok(`${url} answers, and shares the secret`);
}

async function checkHttps(
  { https }: BridgeConfig,
  folder: string,
  at: (path: string) => string,
  { files, http }: DoctorPorts,
): Promise<Verdict> {
  if (!https) return unchecked('no https: is configured, so devices cannot enrol over it');
  if (/:0$/.test(https.url)) return unchecked('its port is chosen at the start');
  const file = https.certificate === undefined ? join(folder, CA_FILE) : at(https.certificate);
  const own = files.read(file);
  const ask = (ca: string | undefined) =>
    http({
      ...{ method: 'GET', url: `${https.url}/`, headers: {}, body: new Uint8Array() },
      ...{ timeoutMs: DOCTOR_PROGRAM_MS, answerBytesMax: HTTP_BYTES_MAX },
      ...(ca !== undefined && { ca }),
    });
  try {
    // By the site's own authority or certificate, or else by those that the system believes.
    const { status } = await ask(own && new TextDecoder().decode(own)).catch((error: unknown) => {
      if (https.certificate === undefined) throw error;
      return ask(undefined);
    });
    return ok(`${https.url} answers (${status})`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return wrong(
      `${https.url} cannot be reached: ${why}`,
      `start the bridge; its name must resolve here, and ${file} must be for that name`,
    );
  }
}
