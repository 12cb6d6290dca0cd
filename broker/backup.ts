/**
 * Backup and restore of a bridge: everything that another machine needs to go on, and how a bridge
 * that went back in time still does no harm.
 *
 * A restored store has forgotten what happened after the backup. So its tick generation rises,
 * which makes every nonce given out before stale: a request that was paid in that time and is sent
 * again is not paid again (broker/bridge.ts asks the backends before it calls such a one refused).
 * Keys and secrets never go back, because those that are there are as new or newer; they are put
 * back only where they are missing.
 */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { toHex, utf8 } from '../src/bytes.ts';
import { OperatorError } from '../src/errors.ts';
import { requireFolder, requireText } from '../src/files.ts';
import type { Archive, Clock, Database, Files, Random } from '../src/platform.ts';
import { CA_FILE, CA_KEY_FILE } from './ca.ts';
import type { BridgeConfig } from './config.ts';
import { createChain } from './store/chain.ts';
import { forgetLeases, prepareSchema, refuseUnderway, setMeta } from './store/schema.ts';

/** A bridge's configuration, its file, and how the paths in it are meant. */
export type Place = Readonly<{
  config: BridgeConfig;
  file: string;
  at: (path: string) => string;
}>;

export type BackupParts = Readonly<{
  files: Files;
  archive: Archive;
  clock: Clock;
  openDatabase: (path: string) => Database;
  /** Puts a question of broker/operator.ts to the bridge, running or not. */
  operate: (question: unknown) => Promise<unknown>;
}>;

export type RestoreParts = Omit<BackupParts, 'operate'> &
  Readonly<{
    random: Random;
    /** Whether a bridge of this folder answers its operator. */
    isRunning: () => Promise<boolean>;
  }>;

const MANIFEST = 'manifest.json';
const DATABASE = 'bridge.db';

const manifestJson = z.strictObject({
  version: z.literal(1),
  madeAt: z.string().check(z.regex(/^[0-9TZ:.-]{1,30}$/)),
  environment: z.enum(['sim', 'live']),
  ledger: z.string(),
  generation: z.int(),
  /** The last link of the evidence chain, as `saytap audit --head` takes it. */
  head: z.optional(z.string()),
  files: z.array(
    z.strictObject({
      name: z.string().check(z.regex(/^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/)),
      bytes: z.int(),
      sha256: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
    }),
  ),
});
type Manifest = z.infer<typeof manifestJson>;

/**
 * Writes a backup into `folder`, which is new or empty; its manifest comes last, so that a folder
 * without one is no backup. Throws OperatorError.
 */
export async function makeBackup(
  parts: BackupParts,
  place: Place,
  folder: string,
  write: (line: string) => void,
): Promise<void> {
  const { files, archive, clock, openDatabase, operate } = parts;
  const { config, at } = place;
  if (files.list(folder).length > 0) {
    throw new OperatorError('storage', `${folder} is not empty: name a new folder`);
  }
  requireFolder(files, folder);
  if ((files.access(folder).mode & 0o077) !== 0) {
    throw new OperatorError('storage', `others may enter ${folder}: run chmod 700 ${folder}`);
  }
  const madeAt = new Date(clock.nowMs()).toISOString();
  await operate({ ask: 'backup', path: join(folder, DATABASE) });
  const store = openDatabase(join(folder, DATABASE));
  const head = headOf(store);
  const generation = generationOf(store);
  store.close();

  const names = [DATABASE];
  const policies = policiesIn(files, at(config.policy));
  for (const { name, path } of partsOf(place, files.list(at(config.statements)), policies)) {
    if (!archive.digest(path)) continue;
    const [subfolder, inner] = name.split('/');
    if (inner !== undefined) requireFolder(files, join(folder, subfolder!));
    archive.copy(path, join(folder, name));
    names.push(name);
  }
  const manifest: Manifest = {
    version: 1,
    madeAt,
    environment: config.environment,
    ledger: config.ledger,
    generation,
    ...(head !== undefined && { head }),
    files: names.map((name) => ({ name, ...archive.digest(join(folder, name))! })),
  };
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  files.create(join(folder, MANIFEST), utf8(text), 0o600);
  const bytes = manifest.files.reduce((sum, one) => sum + one.bytes, 0);
  write(`backup of ${names.length} files (${bytes} bytes) of ${madeAt} in ${folder}`);
  if (head !== undefined) write(`head of the evidence chain: ${head}`);
  write('it holds the private key and the secrets of the bridge: keep it as secret as those');
  write('the ledger and the risk service have databases of their own, which are not in it');
}

/**
 * Puts the backup in `folder` in the place of what the bridge has, which is kept beside it. Throws
 * OperatorError, with nothing changed, when a bridge runs, when the backup is another ledger's, or
 * when a file does not match the manifest.
 */
export async function restoreBackup(
  parts: RestoreParts,
  place: Place,
  folder: string,
  write: (line: string) => void,
): Promise<void> {
  const { files, archive, clock } = parts;
  const { config, at } = place;
  if (await parts.isRunning()) {
    throw new OperatorError('storage', 'the bridge is running: stop it, then restore');
  }
  const manifest = readManifest(files, folder);
  if (manifest.environment !== config.environment || manifest.ledger !== config.ledger) {
    throw new OperatorError(
      'config',
      `this is a backup of ${manifest.environment} ledger ${manifest.ledger}, ` +
        `the configuration names ${config.environment} ledger ${config.ledger}`,
    );
  }
  requireMatching(archive, folder, manifest);

  requireFolder(files, at(config.folder));
  const path = join(at(config.folder), DATABASE);
  // Held open meanwhile: its lock keeps a bridge from starting on what is about to go.
  const current = archive.digest(path) ? openUnlessDamaged(parts, path) : undefined;
  const stamp = new Date(clock.nowMs()).toISOString().replace(/[:.]/g, '-');
  const fresh = `${path}.restore-${stamp}`;
  let generation: number;
  try {
    archive.copy(join(folder, DATABASE), fresh);
    generation = raise(parts, fresh, current, manifest);
    putMissing(parts, place, folder, manifest, write);
  } finally {
    current?.close();
  }

  const aside = `${path}.before-restore-${stamp}`;
  // What a damaged or killed store has not moved into its file yet must not meet the new file.
  for (const suffix of ['-wal', '-shm']) {
    if (archive.digest(path + suffix)) archive.move(path + suffix, aside + suffix);
  }
  if (archive.digest(path)) {
    archive.swap(fresh, path, aside);
    write(`the store that was there is ${aside}`);
  } else archive.move(fresh, path);
  write(`restored the store of ${manifest.madeAt}`);
  write(`its tick generation is raised to ${generation}, one above any before`);
  write('every nonce of an earlier tick is stale: devices wait for the next tick, at most 30 s');
  write('what this store cannot know is what happened after the backup:');
  write(
    '  payments: their devices send them again, and none is paid twice; the bridge refuses them',
  );
  write('  as stale_nonce unless a backend says that the money moved; limits count them as unused');
  write('  what was under way then: refused, too, unless a backend says that it moved');
  write('  mandates, keys and orders that came, were suspended or revoked: hand them in again');
  write('run saytap audit before you start the bridge: it compares with what the backends moved');
}

/**
 * Files beside the store, by their name in a backup; some of them need not exist. `policies` are
 * those in the policies' folder: none where the configuration names one file.
 */
function partsOf(
  { config, file, at }: Place,
  statements: readonly string[],
  policies: readonly string[],
): readonly Readonly<{ name: string; path: string }>[] {
  const own = ['bridge.key.pem', 'bridge.key.pem.pub', 'next.key.pem', 'next.key.pem.pub'];
  const { mqtt } = config;
  return [
    ...[...own, CA_KEY_FILE, CA_FILE, 'tick.secret'].map((name) => ({
      name,
      path: join(at(config.folder), name),
    })),
    { name: 'root.pub.pem', path: at(config.root) },
    ...policies.map((name) => ({ name: `policies/${name}`, path: join(at(config.policy), name) })),
    ...(policies.length === 0 ? [{ name: 'platform.policy', path: at(config.policy) }] : []),
    { name: 'risk.secret', path: at(config.risk.secret) },
    ...config.backends.map(({ name, secret }) => ({
      name: `backends/${name}.secret`,
      path: at(secret),
    })),
    ...('url' in mqtt
      ? (['password', 'ca', 'certificate', 'key'] as const).flatMap((name) =>
          mqtt[name] === undefined ? [] : [{ name: `mqtt.${name}`, path: at(mqtt[name]) }],
        )
      : []),
    ...statements
      .filter((name) => STATEMENT.test(name))
      .map((name) => ({ name: `statements/${name}`, path: join(at(config.statements), name) })),
    { name: 'bridge.yaml', path: file },
  ];
}

function policiesIn(files: Files, path: string): readonly string[] {
  try {
    return files.list(path).filter((name) => POLICY.test(name));
  } catch {
    return []; // One file.
  }
}

const POLICY = /^[\w-][\w.-]*\.policy$/;
const STATEMENT = /^[\w-][\w.-]*\.key$/;

function readManifest(files: Files, folder: string): Manifest {
  const path = join(folder, MANIFEST);
  let json: unknown;
  try {
    json = JSON.parse(requireText(files, path));
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    throw new OperatorError('storage', `${path} is damaged: it is no JSON`, { cause });
  }
  const parsed = z.safeParse(manifestJson, json);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
  throw new OperatorError('storage', `${path} is damaged, or of another version: ${where}`);
}

/** Every file is there and is the one that was written. */
function requireMatching(archive: Archive, folder: string, manifest: Manifest): void {
  const faults = manifest.files.flatMap(({ name, sha256 }) => {
    const found = archive.digest(join(folder, name));
    if (!found) return [`${name} is missing`];
    return found.sha256 === sha256 ? [] : [`${name} is not the file that was backed up`];
  });
  if (!manifest.files.some(({ name }) => name === DATABASE))
    faults.push(`${DATABASE} is not in it`);
  if (faults.length === 0) return;
  throw new OperatorError('storage', `the backup ${folder} is damaged: ${faults.join('; ')}`);
}

/** Undefined for a damaged store: that is what a restore is for. Throws when it is in use. */
function openUnlessDamaged(
  { openDatabase }: Pick<RestoreParts, 'openDatabase'>,
  path: string,
): Database | undefined {
  try {
    return openDatabase(path);
  } catch (error) {
    if (error instanceof OperatorError && isDamage(error.cause)) return undefined;
    throw error;
  }
}

/** What SQLite's own check found, or its codes SQLITE_CORRUPT and SQLITE_NOTADB. */
function isDamage(cause: unknown): boolean {
  const { errcode } = (typeof cause === 'object' ? (cause ?? {}) : {}) as { errcode?: unknown };
  return typeof cause === 'string' || errcode === 11 || errcode === 26;
}

/**
 * Makes a copied store the newest: its generation is one above the backup's and above that of the
 * store that it replaces, so that a second restore of one backup is another generation again.
 */
function raise(
  { openDatabase, random, clock, archive }: RestoreParts,
  path: string,
  current: Database | undefined,
  manifest: Manifest,
): number {
  const { sha256 } = manifest.files.find(({ name }) => name === DATABASE)!;
  if (archive.digest(path)?.sha256 !== sha256) {
    throw new OperatorError('storage', `${path} is not what the backup holds: the disk failed`);
  }
  const database = openDatabase(path);
  try {
    prepareSchema(database);
    const generation = Math.max(generationOf(database), current ? generationOf(current) : 0) + 1;
    const { madeAt, head } = manifest;
    database.transaction(() => {
      setMeta(database, 'tick_generation', String(generation));
      setMeta(database, 'restored_ms', String(nowOf(database, madeAt, clock)));
      forgetLeases(database, clock.nowMs());
      const said = { restored: madeAt, head, generation };
      const chain = createChain(database, random);
      chain.append('restore', 'note', said, clock.nowMs());
      for (const id of refuseUnderway(database)) {
        chain.append(id, 'note', { restored: madeAt, refusal: 'unavailable' }, clock.nowMs());
      }
    });
    return generation;
  } finally {
    database.close();
  }
}

/**
 * When the restore was, ms. A machine without time may believe in an earlier one than the backup is
 * of; by that nothing would be of before the restore.
 */
function nowOf(database: Database, madeAt: string, clock: Clock): number {
  const last = database.prepare('SELECT max(at_ms) AS at FROM evidence').get()?.['at'];
  return Math.max(clock.nowMs(), Date.parse(madeAt) || 0, Number(last ?? 0));
}

/** Keys, secrets, statements: only where nothing is, and it is told where something else is. */
function putMissing(
  { files, archive }: RestoreParts,
  place: Place,
  folder: string,
  manifest: Manifest,
  write: (line: string) => void,
): void {
  const inBackup = manifest.files.map(({ name }) => name);
  const within = (inner: string) =>
    inBackup.filter((name) => name.startsWith(inner)).map((name) => name.slice(inner.length));
  const parts = partsOf(place, within('statements/'), within('policies/'));
  const places = new Map(parts.map(({ name, path }) => [name, path]));
  for (const { name, sha256 } of manifest.files) {
    if (name === DATABASE) continue;
    const path = places.get(name);
    if (path === undefined) {
      write(`${name} has no place in this configuration; it stays in the backup`);
      continue;
    }
    const found = archive.digest(path);
    if (!found) {
      requireFolder(files, join(path, '..'));
      archive.copy(join(folder, name), path);
      write(`put back ${path}`);
    } else if (found.sha256 !== sha256) {
      write(`left ${path} as it is; the backup has another ${name}`);
    }
  }
}

function generationOf(database: Database): number {
  if (!hasTable(database, 'meta')) return 1;
  const row = database.prepare(`SELECT value FROM meta WHERE name = 'tick_generation'`).get();
  return Number(row?.['value'] ?? '1');
}

function headOf(database: Database): string | undefined {
  const last = database
    .prepare('SELECT number, link FROM evidence ORDER BY number DESC LIMIT 1')
    .get();
  return last && `${last['number'] as bigint}:${toHex(last['link'] as Uint8Array)}`;
}

function hasTable(database: Database, name: string): boolean {
  return database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').get(name) !== undefined;
}
