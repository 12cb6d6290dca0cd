/**
 * Real tokens for tests: SoftHSM, and a TPM 2.0 made of swtpm, its resource manager and the
 * PKCS #11 module of tpm2-software. Each can be taken out and put back.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { files } from '../../../src/node/platform.ts';
import { type Part, requirePart } from '../../parts.ts';

export const PIN = '123456';
const SO_PIN = '87654321';
const LABEL = 'glasses';

/** A token with its module, in a folder of its own. */
export type Hardware = Readonly<{
  folder: string;
  module: string;
  /** The token's label. */
  token: string;
  remove: () => Promise<void>;
  putBack: () => Promise<void>;
  /** How the module answers who reads CKA_VALUE of the first private key: a CKR_ name. */
  readSecret: () => string;
  close: () => Promise<void>;
}>;

/** What a test needs of the system, or why it has to be skipped. */
export function missingFor(...names: readonly string[]): string | undefined {
  const parts: readonly Part[] = ['g++', ...names].map(requirePart);
  return parts.find(({ missing }) => missing !== undefined)?.missing;
}

/** Builds the native part, once for each node_modules. */
export function build(): void {
  run(process.execPath, [join(import.meta.dirname, '../../../setup.mjs'), '--pkcs11']);
}

export function createSoftHsm(): Hardware {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-softhsm-'));
  const tokens = join(folder, 'tokens');
  const away = join(folder, 'away');
  mkdirSync(tokens);
  const config = join(folder, 'softhsm2.conf');
  writeFileSync(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  process.env['SOFTHSM2_CONF'] = config;
  const pins = ['--so-pin', SO_PIN, '--pin', PIN];
  run('softhsm2-util', ['--init-token', '--free', '--label', LABEL, ...pins]);
  const module = libraryOf('softhsm/libsofthsm2.so');
  return {
    folder,
    module,
    token: LABEL,
    remove: async () => renameSync(tokens, away),
    putBack: async () => renameSync(away, tokens),
    readSecret: () => readSecret(module),
    close: async () => rmSync(folder, { recursive: true }),
  };
}

export type Tpm = Hardware &
  Readonly<{
    /** Runs a tool of tpm2-tools against it. */
    tool: (name: string, args: readonly string[]) => string;
    /** Takes its power away, without a word before, and gives it back. */
    cutPower: () => Promise<void>;
  }>;

export async function createTpm(): Promise<Tpm> {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-tpm-'));
  const bus = join(folder, 'bus');
  const port = await freePair();
  for (const name of ['state', 'store']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'bus.conf'), BUS.replace('PATH', bus));
  Object.assign(process.env, {
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus}`,
    TPM2TOOLS_TCTI: TCTI,
    TPM2_PKCS11_TCTI: TCTI,
    TPM2_PKCS11_STORE: join(folder, 'store'),
    TSS2_LOG: 'all+none',
    TPM2_PKCS11_LOG_LEVEL: '0',
  });

  const busDaemon = start('dbus-daemon', [`--config-file=${join(folder, 'bus.conf')}`, '--nofork']);
  await until(() => existsSync(bus));
  let running: readonly ChildProcess[] = [];

  async function powerOn(): Promise<void> {
    const at = (type: string, number: number) => [
      `--${type}`,
      `type=tcp,port=${number},bindaddr=127.0.0.1`,
    ];
    const state = ['--tpmstate', `dir=${join(folder, 'state')}`];
    const flags = ['--flags', 'not-need-init,startup-clear'];
    const chip = start('swtpm', [
      ...['socket', '--tpm2', ...state, ...flags],
      ...[...at('server', port), ...at('ctrl', port + 1)],
    ]);
    // Its data port takes one client, the resource manager: only the other one is tried.
    await until(() => isListening(port + 1));
    const tcti = `--tcti=swtpm:host=127.0.0.1,port=${port}`;
    const manager = start('/usr/sbin/tpm2-abrmd', ['--session', '--allow-root', tcti]);
    running = [manager, chip];
    await until(() => spawnSync('tpm2_getcap', ['properties-fixed']).status === 0);
  }

  async function powerOff(): Promise<void> {
    for (const child of running) await ended(child);
    running = [];
  }

  await powerOn();
  run('tpm2_ptool', ['init']);
  const pins = ['--sopin', SO_PIN, '--userpin', PIN];
  run('tpm2_ptool', ['addtoken', '--pid=1', '--label', LABEL, ...pins]);
  const module = libraryOf('libtpm2_pkcs11.so.1');
  return {
    folder,
    module,
    token: LABEL,
    remove: powerOff,
    async putBack() {
      await powerOn();
      run('tpm2_dictionarylockout', ['--clear-lockout']);
    },
    async cutPower() {
      await powerOff();
      await powerOn();
    },
    tool: run,
    readSecret: () => readSecret(module),
    async close() {
      await powerOff();
      await ended(busDaemon);
      rmSync(folder, { recursive: true });
    },
  };
}

const TCTI = 'tabrmd:bus_type=session';

const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=PATH</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`;

/** Past all of our code: the module itself is asked for the secret of the first private key. */
function readSecret(module: string): string {
  const require = createRequire(import.meta.url);
  const { PKCS11 } = require('pkcs11js/build/Release/pkcs11.node') as {
    PKCS11: new () => Record<string, (...values: readonly unknown[]) => unknown>;
  };
  const cryptoki = new PKCS11();
  const call = (name: string, ...values: readonly unknown[]) => cryptoki[name]!(...values);
  call('load', module);
  const label = (slot: unknown) => (call('C_GetTokenInfo', slot) as { label: string }).label;
  const slots = call('C_GetSlotList', true) as readonly unknown[];
  const slot = slots.find((one) => label(one).startsWith(LABEL));
  const session = call('C_OpenSession', slot, 6);
  try {
    call('C_FindObjectsInit', session, [{ type: 0, value: 3 }]);
    const [key] = call('C_FindObjects', session, 1) as readonly unknown[];
    call('C_FindObjectsFinal', session);
    call('C_GetAttributeValue', session, key, [{ type: 0x11 }]);
    return 'told';
  } catch (error) {
    return /CKR_\w+/.exec(String(error))?.[0] ?? String(error);
  } finally {
    call('C_CloseSession', session);
  }
}

function libraryOf(name: string): string {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const folders = ['/usr/lib', `/usr/lib/${machine}-linux-gnu`];
  const found = folders.map((folder) => join(folder, name)).find((path) => files.read(path));
  if (!found) throw new Error(`${name} is not installed`);
  return found;
}

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stdout + stderr}`);
  return stdout;
}

function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: 'ignore' });
}

/** Killed without a word, as by a power cut. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((done) => child.once('exit', done));
  child.kill('SIGKILL');
  await exit;
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 300; n++) {
    if (await isSo()) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('a part of the TPM did not start within 30 s');
}

function isListening(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Two neighbouring ports: the simulated chip's control port is the one after its data port. */
async function freePair(): Promise<number> {
  for (;;) {
    const first = await tryPort(0);
    if (first && (await tryPort(first + 1))) return first;
  }
}

function tryPort(wanted: number): Promise<number | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(undefined));
    server.listen(wanted, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}
