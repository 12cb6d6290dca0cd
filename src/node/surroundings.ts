/**
 * The machine as the doctor sees it: disk, other programs, and who is at the end of a connection.
 *
 * A database that a program has open is recognised without opening it for real. Programs hold
 * SQLite's lock for as long as they run (src/node/sqlite.ts), and a connection that may neither
 * write nor make the log's index gets as far as that lock and no further: `busy` when it is held,
 * another refusal when it is free. Reading the file ourselves before would be wrong: to close any
 * descriptor of it drops the locks of this process.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { connect, isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connect as connectSecurely } from 'node:tls';
import { pathToFileURL } from 'node:url';
import {
  DOCTOR_COPY_BYTES_MAX,
  DOCTOR_PROGRAM_BYTES_MAX,
  DOCTOR_PROGRAM_MS,
  MQTT_CONNECT_MS,
} from '../limits.ts';
import type { Shown, Surroundings, Tls } from '../platform.ts';
import { type BrokerAddress, openStream, parseBrokerUrl } from './stream.ts';

export const surroundings: Surroundings = Object.freeze({
  freeBytes(folder: string) {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  },
  tryWriting(folder: string) {
    const path = join(folder, `.doctor-${randomBytes(8).toString('hex')}`);
    const file = openSync(path, 'wx', 0o600);
    try {
      writeSync(file, new Uint8Array(4096));
      fsyncSync(file);
    } finally {
      closeSync(file);
      unlinkSync(path);
    }
  },
  changedMs: (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs,
  isReadable(path: string) {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  },
  run: (program: string, args: readonly string[]) =>
    new Promise<string | undefined>((resolve) => {
      const options = {
        timeout: DOCTOR_PROGRAM_MS,
        maxBuffer: DOCTOR_PROGRAM_BYTES_MAX,
        env: { ...process.env, LC_ALL: 'C' },
      };
      execFile(program, [...args], options, (error, out) => resolve(error ? undefined : out));
    }),
  isListening: (path: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ path });
      socket.setTimeout(DOCTOR_PROGRAM_MS, () => socket.destroy(new Error('late')));
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    }),
  async reach(url: string, tls: Tls) {
    const address = parseBrokerUrl(url);
    const failure = await attempt(address, tls);
    const shown = address.isSecure ? await shownBy(address) : undefined;
    return { failure, shown };
  },
  async lookInto<T>(database: string, look: (copy: string) => T | Promise<T>) {
    if (!existsSync(database)) return 'absent';
    if (isInUse(database)) return 'in use';
    const tails = ['', '-wal'].filter((tail) => existsSync(database + tail));
    const bytes = tails.reduce((sum, tail) => sum + statSync(database + tail).size, 0);
    if (bytes > DOCTOR_COPY_BYTES_MAX) return 'too large';
    const folder = mkdtempSync(join(tmpdir(), 'saytap-doctor-'));
    try {
      const copy = join(folder, 'copy.db');
      for (const tail of tails) copyFileSync(database + tail, copy + tail);
      // Of a program that has started meanwhile half a page may have been copied.
      if (isInUse(database)) return 'in use';
      return { seen: await look(copy) };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  runtime: process.execPath,
});

/** What stopped a connection with everything checked; undefined when nothing did. */
function attempt(address: BrokerAddress, tls: Tls): Promise<string | undefined> {
  return new Promise((resolve) => {
    let why = 'the broker ended the connection at once';
    const stream = openStream(
      address,
      () => tls,
      (told) => (why = told),
    );
    const late = setTimeout(() => {
      why = `nobody answered in ${MQTT_CONNECT_MS / 1000} s`;
      stream.destroy();
    }, MQTT_CONNECT_MS);
    stream.once(address.isSecure ? 'secureConnect' : 'connect', () => {
      resolve(undefined);
      stream.destroy();
    });
    stream.once('close', () => {
      clearTimeout(late);
      resolve(why);
    });
  });
}

/** The certificate of whoever answers there. Nothing is sent to him, and nothing is believed. */
function shownBy({ host, port }: BrokerAddress): Promise<Shown | undefined> {
  return new Promise((resolve) => {
    const socket = connectSecurely({
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      rejectUnauthorized: false,
    });
    socket.setTimeout(MQTT_CONNECT_MS, () => socket.destroy());
    socket.once('secureConnect', () => {
      const found = socket.getPeerX509Certificate();
      resolve(
        found && {
          names: found.subjectAltName ?? found.subject,
          issuer: found.issuer.replaceAll('\n', ', '),
          fromMs: found.validFromDate.getTime(),
          untilMs: found.validToDate.getTime(),
        },
      );
      socket.destroy();
    });
    socket.once('error', () => {});
    socket.once('close', () => resolve(undefined));
  });
}

function isInUse(path: string): boolean {
  // Who has it open has its log. Without one this connection would make one, empty.
  if (!existsSync(`${path}-wal`)) return false;
  const address = pathToFileURL(path);
  address.search = '?mode=ro&readonly_shm=1';
  try {
    const database = new DatabaseSync(address, { readOnly: true, timeout: 0 });
    try {
      database.prepare('SELECT count(*) FROM sqlite_schema').get();
    } finally {
      database.close();
    }
    return false;
  } catch (error) {
    const code = (error as { errcode?: unknown }).errcode;
    return typeof code === 'number' && (code & 0xff) === SQLITE_BUSY;
  }
}

const SQLITE_BUSY = 5;
