/**
 * The doctor's checks of what a device holds: whom it believes, what it may pay by, what it has
 * not got rid of, and how its key is kept.
 */
import { join } from 'node:path';
import { type Verdict, ok, unchecked, validity, wrong } from '../src/doctor.ts';
import { DOCTOR_DAYS_MIN, DOCTOR_WAITING_MS } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import {
  type Clock,
  DamagedError,
  type Database,
  type Files,
  type Surroundings,
} from '../src/platform.ts';
import { utc } from '../src/sentences.ts';
import { isEncryptedPem } from '../src/signer.ts';
import type { DeviceConfig } from './config.ts';
import { KEY_CREDENTIAL } from './keys/file.ts';
import type { KeyStore } from './keys/store.ts';
import { createOutbox } from './outbox.ts';
import { PIN_FILE, type Pin } from './pin.ts';
import { SUCCESSION, type lookAtSuccession } from './succession.ts';
import { SPEAKER_FILE, type Tries } from './tries.ts';

type Ports = Readonly<{
  files: Files;
  clock: Clock;
  credentials?: string | undefined;
  surroundings: Surroundings;
  openDatabase: (path: string) => Database;
}>;

/** The bridge above all: without its statement nothing that it says is believed. */
export function checkKnown(
  statements: readonly KeyStatement[],
  folder: string,
  nowMs: number,
): Verdict {
  const fix = `put the newer Key statement, signed by the root, into ${folder}`;
  const bridges = statements.filter(({ role }) => role === 'bridge');
  if (bridges.length === 0) {
    return wrong(`${folder} has no Key statement of the bridge`, fix);
  }
  const last = bridges.reduce((a, b) => (a.exp > b.exp ? a : b));
  const terminals = statements.filter(({ role, exp }) => role === 'terminal' && nowMs < exp * 1000);
  const verdict = validity('the statement of the bridge', [last.nbf, last.exp], nowMs, fix);
  if (verdict.state !== 'ok') return verdict;
  return ok(`${verdict.says}; ${terminals.length} terminals`);
}

export function checkMandates(
  ends: readonly number[],
  config: DeviceConfig,
  nowMs: number,
): Verdict {
  const isOver = (exp: number, days: number) => nowMs + days * 86_400_000 >= exp * 1000;
  const alive = ends.filter((exp) => !isOver(exp, 0));
  const soon = alive.filter((exp) => isOver(exp, DOCTOR_DAYS_MIN));
  if (alive.length === 0 && config.profile === 'glasses') {
    const had = ends.length === 0 ? 'no mandate names this device' : 'every mandate has ended';
    return wrong(`${had}, so it can pay nothing`, 'have the wearer grant one (docs/mandates.md)');
  }
  const ending =
    soon.length === 0 ? '' : `, ${soon.length} of them end within ${DOCTOR_DAYS_MIN} days`;
  return ok(`${alive.length} hold${ending}; ${ends.length - alive.length} have ended`);
}

/** What was found in the place of the outbox. */
export type Seen =
  | 'absent'
  | 'in use'
  | 'too large'
  | 'damaged'
  | Readonly<{ seen: Readonly<{ open: number; oldestMs: number }> }>;

export async function lookAtOutbox(
  folder: string,
  { surroundings, openDatabase }: Ports,
): Promise<Seen> {
  try {
    return await surroundings.lookInto(join(folder, 'outbox.db'), (copy) => {
      const database = openDatabase(copy);
      try {
        return createOutbox(database, 'old').waiting();
      } finally {
        database.close();
      }
    });
  } catch (error) {
    if (error instanceof DamagedError) return 'damaged';
    throw error;
  }
}

/** Numbers of the outbox, for somebody who helps. */
export async function countsOf(folder: string, ports: Ports): Promise<object> {
  const found = await lookAtOutbox(folder, ports);
  return typeof found === 'string' ? { outbox: found } : { outbox: found.seen };
}

export function checkOutbox(
  seen: Seen,
  folder: string,
  config: DeviceConfig,
  { files, clock }: Ports,
): Verdict {
  const aside = files
    .list(folder)
    .filter((name) => /^outbox\.db\.damaged-[\dT-]+Z(-\d+)?$/.test(name));
  if (aside.length > 0) {
    return wrong(
      `a damaged outbox was set aside: ${aside.join(', ')}`,
      `look for what may be missing (saytap payments list, at the bridge), then move it away`,
    );
  }
  if (seen === 'absent') return ok('none yet: the first start makes it');
  if (seen === 'damaged') {
    return wrong(
      `${join(folder, 'outbox.db')} is damaged`,
      'start the device: it sets the file aside and goes on with what its signatures prove',
    );
  }
  if (seen === 'too large') return unchecked('it is too large to be copied');
  if (seen === 'in use') return ok('a running device has it open, and has checked it');
  const { open: waits, oldestMs } = seen.seen;
  if (waits === 0) return ok('whole, nothing waits');
  const since = oldestMs === 0 ? '' : `, since ${utc(Math.floor(oldestMs / 1000))}`;
  if (oldestMs > 0 && clock.nowMs() - oldestMs > DOCTOR_WAITING_MS) {
    const fix = `start ${config.device} where broker and bridge can be reached: it sends them`;
    return wrong(`${waits} wait to be sent${since}`, fix);
  }
  return ok(`whole, ${waits} wait to be sent${since}`);
}

/** What `lookAtSuccession` found; `keys` are those that can be opened here. */
export function checkSuccession(
  found: ReturnType<typeof lookAtSuccession>,
  keys: Pick<KeyStore, 'current' | 'next'> | undefined,
  changedMs: number | undefined,
  nowMs: number,
): Verdict {
  if (found === 'absent') return ok('no next key is under way');
  if (found === 'damaged') {
    return wrong(
      `${SUCCESSION} is damaged: nobody knows how far the next key was`,
      'run saytap device renew, which begins anew; a key of before counts at the bridge until ' +
        'its statement ends',
    );
  }
  if (found.state === 'wanted') return ok('a next key is asked for: the running device makes it');
  const isCurrent = keys?.current()?.key.name === found.key;
  if (keys && !isCurrent && keys.next()?.key.name !== found.key) {
    return wrong(
      `${SUCCESSION} is about a key that is not here`,
      'start the device: it forgets that one and goes on with the key that it has',
    );
  }
  const says = isCurrent
    ? 'the next key has taken over, and the one before is not retired yet'
    : `a next key is half done (${found.state})`;
  if (changedMs === undefined || nowMs - changedMs <= DOCTOR_WAITING_MS) return ok(says);
  const since = `${says} since ${utc(Math.floor(changedMs / 1000))}`;
  return found.state === 'asking'
    ? wrong(since, 'approve it, or refuse it, at the bridge: saytap device pending')
    : wrong(since, 'start the device where broker and bridge can be reached: it goes on');
}

/** The PIN, and what is counted of voices where it has no PIN. */
export function checkPin(pin: Pin, tries: Tries): Verdict {
  const set = 'its owner sets a new one on the device: saytap device pin set';
  const state = pin.state();
  if (state === 'locked') return wrong('it is locked: too many wrong ones in a row', set);
  if (state === 'damaged') return wrong(`${PIN_FILE} is damaged, or not this user's own`, set);
  if (state === 'ready') return ok('one is set');
  const voice = tries.state();
  if (voice === 'ready') return ok('none is set');
  return wrong(
    voice === 'locked'
      ? 'none is set, and the voice check is locked'
      : `none is set, and ${SPEAKER_FILE} is damaged`,
    'set a PIN, or begin the voice check anew: saytap device pin clear',
  );
}

export function checkCredential(
  config: DeviceConfig,
  folder: string,
  { files, credentials }: Ports,
): Verdict {
  if (config.keys.store !== 'file') return unchecked('the key lies in hardware');
  const pem = files.read(join(folder, 'device.key.pem'));
  const isSealed = isEncryptedPem(new TextDecoder().decode(pem));
  if (credentials === undefined) {
    return unchecked(
      isSealed
        ? 'the service has it; this program does not'
        : 'the key is not encrypted; a credential would do that (docs/keys.md)',
    );
  }
  if (files.read(join(credentials, KEY_CREDENTIAL))) return ok(`${KEY_CREDENTIAL} is given`);
  if (!isSealed) return unchecked(`systemd gave no ${KEY_CREDENTIAL}; the key is not encrypted`);
  return wrong(
    `the key is encrypted, and systemd gave no ${KEY_CREDENTIAL}`,
    `put LoadCredentialEncrypted=${KEY_CREDENTIAL} under [Service] (docs/keys.md)`,
  );
}
