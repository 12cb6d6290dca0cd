/**
 * What a person sends to somebody who helps: one archive of what the doctor found, the
 * configuration, the end of the log, and the machine. Chosen and redacted (src/redact.ts) so that
 * it holds no secret, no name of a payee or payer, no amount, no mandate and no envelope.
 */
import { join } from 'node:path';
import { toHex } from './bytes.ts';
import type { CborValue } from './cbor.ts';
import { foundOr, metricsText } from './checks.ts';
import { payloadOf } from './cose.ts';
import type { Finding } from './doctor.ts';
import { DIAG_FILE_CHARS_MAX, DIAG_LOG_LINES } from './limits.ts';
import { keyStatement } from './objects/key.ts';
import { mandate } from './objects/mandate.ts';
import type { Clock, Files, Http, Machine, Surroundings } from './platform.ts';
import { redact, redactLog, redactSettings } from './redact.ts';
import { type TarEntry, tarOf } from './tar.ts';
import { PROGRAM_VERSION } from './version.ts';

export type DiagPorts = Readonly<{
  clock: Clock;
  files: Files;
  http: Http;
  surroundings: Surroundings;
  machine: Machine;
}>;

export type Collected = Readonly<{
  program: 'device' | 'bridge';
  folder: string;
  findings: readonly Finding[];
  /** The configuration with what it leaves out. */
  settings: string;
  metricsPort: number | undefined;
  /** Numbers about what is stored; nobody's names. */
  counts: object;
  /** Names of people and payees that this program knows, which must not be in any text. */
  names: readonly string[];
}>;

/** The archive, not compressed, and what is in it. */
export async function collect(
  { clock, files, http, surroundings, machine }: DiagPorts,
  collected: Collected,
): Promise<Readonly<{ archive: Uint8Array; names: readonly string[] }>> {
  const { program, names } = collected;
  const unit = `saytap-${program}`;
  const run = async (name: string, ...args: string[]) =>
    (await surroundings.run(name, args)) ?? `${name} tells nothing here\n`;
  const textOf = (path: string) =>
    new TextDecoder().decode(foundOr(() => files.read(path), undefined)).replaceAll('\0', '');
  const port = collected.metricsPort ?? 0;
  const [kernel, disk, state, journal, metrics] = await Promise.all([
    run('uname', '-srm'),
    run('df', '-k', collected.folder),
    run('systemctl', 'status', unit, '--no-pager', '--lines=0'),
    run('journalctl', '-u', unit, '-o', 'short-iso', '--no-pager', '-n', `${DIAG_LOG_LINES}`),
    port === 0 ? 'no metrics: port in the configuration\n' : metricsOf(http, port),
  ]);
  const versions = {
    saytap: PROGRAM_VERSION,
    node: machine.node,
    kernel: kernel.trim(),
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf('/etc/os-release'))?.[1],
    board: textOf('/proc/device-tree/model').trim() || undefined,
    boot: machine.boot,
    atMs: clock.nowMs(),
  };
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const texts: readonly TarEntry[] = [
    { name: 'versions.json', text: redact(json(versions), names) },
    { name: 'doctor.json', text: redact(json(collected.findings), names) },
    { name: 'config.yaml', text: redactSettings(collected.settings, names) },
    { name: 'counts.json', text: redact(json(collected.counts), names) },
    { name: 'metrics.txt', text: redact(metrics, names) },
    { name: 'log.txt', text: redactLog(journal, names) },
    { name: 'unit.txt', text: redact(state, names) },
    { name: 'disk.txt', text: redact(disk, names) },
    { name: 'memory.txt', text: redact(textOf('/proc/meminfo'), names) },
  ];
  const entries = texts.map(({ name, text }) => ({
    name: `saytap-diag/${name}`,
    // What came last tells most.
    text: text.slice(-DIAG_FILE_CHARS_MAX),
  }));
  const archive = tarOf(entries, clock.nowMs() / 1000);
  return { archive, names: entries.map(({ name }) => name) };
}

/** What the statements and mandates that lie here call people and payees. */
export function namesIn(
  files: Files,
  statements: string,
  mandates: string | undefined,
): readonly string[] {
  const inEach = (folder: string, ending: string, namesOf: (payload: CborValue) => string[]) =>
    foundOr(() => files.list(folder), [])
      .filter((name) => name.endsWith(ending))
      .flatMap((name) => foundOr(() => namesOf(payloadOf(files.read(join(folder, name))!)), []));
  const names = inEach(statements, '.key', (payload) => {
    const { payee, names: shown, payer } = keyStatement.decode(payload);
    const texts = (shown ?? []).map(([, text]) => text);
    return [...texts, ...(payee ? [payee] : []), ...(payer ? [toHex(payer)] : [])];
  });
  if (mandates === undefined) return names;
  return [
    ...names,
    ...inEach(mandates, '.mandate', (payload) => [mandate.decode(payload).funding]),
  ];
}

async function metricsOf(http: Http, port: number): Promise<string> {
  try {
    return await metricsText(http, port);
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n`;
  }
}
