// Method: the command as a person runs it, in processes of its own. A failure is one line on
// standard error, a meaningful exit code, nothing on standard output, and never a stack.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { install } from '../../simulator/install.ts';
import { toBase64url, toHex } from '../../src/bytes.ts';
import { EXITS } from '../../src/errors.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { orderUri } from '../../device/sense/uri.ts';

const COMMANDS = (
  'start bridge device risk ledger keygen root wallet mandate ' +
  'payments evidence audit keys inspect verify'
).split(' ');
type Ended = Readonly<{ code: number | null; out: string; err: string }>;

const CLI = join(import.meta.dirname, '../../src/cli.ts');
let folder = '';
const at = (...names: string[]) => join(folder, ...names);

/** Runs the command to its end, with this standard input. */
function saytap(args: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, ...args], { stdio: 'pipe' });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const late = setTimeout(() => child.kill('SIGKILL'), 30_000);
    child.once('close', (code) => {
      clearTimeout(late);
      resolve({ code, out, err });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** A failure in one line. */
function expectLine({ code, out, err }: Ended, exit: keyof typeof EXITS, line: string | RegExp) {
  expect(err.trimEnd().split('\n'), err).toHaveLength(1);
  if (typeof line === 'string') expect(err).toBe(`saytap: ${line}\n`);
  else expect(err).toMatch(line);
  expect({ code, out }).toEqual({ code: EXITS[exit], out: '' });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-cli-'));
  const place = await install({ files, random, clock }, at('place'));
  const listen = { host: '127.0.0.1', port: 0 };
  place.configure('risk', { listen, database: 'risk.db', secret: 'risk.secret' });
  const service = (name: string) => ({ url: 'http://127.0.0.1:1', secret: `${name}.secret` });
  place.configure('bridge', {
    environment: 'sim',
    ledger: 'demo',
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
    folder: 'bridge',
    mqtt: { listen },
    risk: service('risk'),
    backends: [{ kind: 'ledger', ...service('ledger') }],
    log: 'warn',
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of a configuration of the installation, changed, beside it. */
function changed(name: 'risk' | 'bridge', from: string | RegExp, to: string): string {
  const path = at('place', `${name}-${createHmac('md5', 'x').update(to).digest('hex')}.yaml`);
  const text = readFileSync(at('place', `${name}.yaml`), 'utf8');
  const other = text.replace(from, to);
  expect(other).not.toBe(text);
  writeFileSync(path, other);
  return path;
}

describe('usage', () => {
  test('--help tells every command and the exit codes; --version the version', async () => {
    const [help, version] = await Promise.all([saytap(['--help']), saytap(['--version'])]);
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const command of COMMANDS) {
      expect(help.out).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
    const told = /Exit codes: ([^]*)$/.exec(help.out)?.[1]?.replace(/\s+/g, ' ');
    expect(told?.split(' · ').map((item) => Number(item.trim()[0]))).toEqual(Object.values(EXITS));
    expect(version).toMatchObject({ code: 0, err: '' });
    const manifest = readFileSync(join(CLI, '../../package.json'), 'utf8');
    const { version: own } = JSON.parse(manifest) as { version: string };
    expect(version.out).toMatch(new RegExp(`^saytap ${own.replaceAll('.', '\\.')} \\(protocol 1,`));
  });

  test.each([['start'], ['verify'], ['wallet', 'grant'], ['root', 'sign', 'key']])(
    '%s --help: its own page',
    async (...command) => {
      const { code, out, err } = await saytap([...command, '--help']);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out.startsWith(`saytap ${command.join(' ')}: `), out).toBe(true);
    },
  );

  test('no command: the help, and exit code 2', async () => {
    const { code, out, err } = await saytap([]);
    expect({ code, err }).toEqual({ code: EXITS.usage, err: '' });
    expect(out).toContain('Usage: saytap COMMAND');
  });

  test.each([
    [['fly'], 'there is no command fly; see saytap --help'],
    [['--fast', 'start'], 'the command comes before --fast; see saytap --help'],
    [['start', '--fast'], "Unknown option '--fast'; see saytap start --help"],
    [['start', '--language', 'fr'], '--language is en or zh; see saytap start --help'],
    [['bridge'], '--config is needed; see saytap bridge --help'],
    [['device'], '--config is needed; see saytap device --help'],
    [['risk'], '--config is needed; see saytap risk --help'],
    [['ledger'], '--config is needed; see saytap ledger --help'],
    [['ledger', 'import'], 'there is no command ledger import; see saytap ledger --help'],
    [['ledger', 'export'], '--config is needed; see saytap ledger export --help'],
    [['inspect'], 'inspect needs a file, hex, base64url or -; see saytap inspect --help'],
    [
      ['inspect', 'd2', '--env', 'sim'],
      '--env and --ledger go together; see saytap inspect --help',
    ],
    [['inspect', 'no/such/file'], 'no/such/file does not exist'],
    [['verify'], 'verify needs a file; see saytap verify --help'],
    [['verify', 'x', '--env', 'test'], '--env is sim or live; see saytap verify --help'],
    [['keygen'], '--out is needed; see saytap keygen --help'],
    [
      ['keygen', '--out', 'x', '--algorithm', 'RSA'],
      '--algorithm is ES256 or EdDSA; see saytap keygen --help',
    ],
    [['bridge', 'rotate'], '--config is needed; see saytap bridge rotate --help'],
    [['root'], 'root needs one of init, sign, show; see saytap root --help'],
    [['root', 'sign'], 'root sign needs one of key, policy; see saytap root sign --help'],
    [['root', 'sign', 'key'], '--root is needed; see saytap root sign key --help'],
    [['wallet'], 'wallet needs one of new, grant, show; see saytap wallet --help'],
    [['wallet', 'show'], 'wallet show needs a file; see saytap wallet show --help'],
  ])('%j: %s', async (args, line) => {
    expectLine(await saytap(args), 'usage', line);
  });
});

describe('programs that cannot start', () => {
  test.each(['bridge', 'device', 'risk', 'ledger'])(
    '%s: no such configuration',
    async (program) => {
      const path = at('none.yaml');
      expectLine(await saytap([program, '--config', path]), 'config', `${path} does not exist`);
    },
  );

  test('a configuration with problems lists them all', async () => {
    const path = changed('risk', /database: .*/, 'data: 5');
    const { code, out, err } = await saytap(['risk', '--config', path]);
    expect({ code, out }).toEqual({ code: EXITS.config, out: '' });
    expect(err.trimEnd().split('\n')).toEqual([
      `saytap: ${path} has 2 problems:`,
      '  database: is missing; allowed: a string',
      '  data: is not a setting',
    ]);
  });

  test('a port in use, by a service and by the embedded broker', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as { port: number };
    const risk = changed('risk', 'port: 0', `port: ${port}`);
    const bridge = changed('bridge', 'port: 0', `port: ${port}`);
    expectLine(
      await saytap(['risk', '--config', risk]),
      'address',
      new RegExp(`^saytap: .*${port}`),
    );
    expectLine(
      await saytap(['bridge', '--config', bridge]),
      'address',
      `port ${port} on 127.0.0.1 is in use by another program: ` +
        'stop it, or choose another mqtt port',
    );
    server.close();
  });

  test('a data folder that cannot be: a file stands there', async () => {
    writeFileSync(at('file'), '');
    const start = await saytap(['start', '--once', '--data', at('file', 'data')]);
    expect(start.code).toBe(EXITS.storage);
    expect(start.err).toMatch(/^saytap: cannot make the folder .*data: E(NOTDIR|EXIST).*\n$/);
    const bridge = changed('bridge', 'folder: bridge', 'folder: risk.yaml');
    expectLine(await saytap(['bridge', '--config', bridge]), 'storage', /cannot make the folder/);
  });

  test('a damaged database', async () => {
    writeFileSync(at('place', 'damaged.db'), 'this is no database'.repeat(100), { mode: 0o600 });
    const path = changed('risk', 'risk.db', 'damaged.db');
    const file = at('place', 'damaged.db');
    expectLine(
      await saytap(['risk', '--config', path]),
      'storage',
      `The file ${file} is damaged or is not a database: restore it from a backup or name another.`,
    );
  });

  test('a key that others can read', async () => {
    mkdirSync(at('place', 'open'));
    const key = at('place', 'open', 'bridge.key.pem');
    writeFileSync(key, readFileSync(at('place', 'bridge', 'bridge.key.pem')));
    chmodSync(key, 0o644);
    const path = changed('bridge', 'folder: bridge', 'folder: open');
    expectLine(
      await saytap(['bridge', '--config', path]),
      'key',
      /can be read by others \(mode 0644\)/,
    );
  });

  test('a key that the root has not named', async () => {
    const path = changed('bridge', 'folder: bridge', 'folder: fresh');
    expectLine(
      await saytap(['bridge', '--config', path]),
      'key',
      /the root has not named this bridge/,
    );
  });
});

describe('inspect and verify', () => {
  const mandate = () => readFileSync(at('place', 'mandates', 'glasses.mandate'));
  const told = ['--kind', 'mandate', '--env', 'sim', '--ledger', 'demo'];

  test('hex, base64url, link, file and standard input say the same', async () => {
    const bytes = Uint8Array.from(mandate());
    const path = at('place', 'mandates', 'glasses.mandate');
    const answers = await Promise.all([
      saytap(['inspect', path, ...told]),
      saytap(['inspect', toHex(bytes), ...told]),
      saytap(['inspect', toBase64url(bytes), ...told]),
      saytap(['inspect', '-', ...told], bytes),
      saytap(['inspect', '-', ...told], `${toHex(bytes)}\n`),
      saytap(['inspect', orderUri(bytes), ...told]),
    ]);
    for (const { code, err, out } of answers) {
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toBe(answers[0]!.out);
    }
    expect(answers[0]!.out).toContain('saytap mandate');
    expect(answers[0]!.out).toContain('acct-wang');
  });

  test('what is no object: refused by code or a line, never a stack', async () => {
    expectLine(await saytap(['inspect', 'hello!']), 'usage', /^saytap: hello! is no file here/);
    expectLine(await saytap(['inspect', folder]), 'storage', /EISDIR/);
    const { code, err } = await saytap(['inspect', 'd2'.repeat(400)]);
    expect(code).toBeLessThanOrEqual(EXITS.failed);
    expect(err).not.toContain('    at ');
  });

  test('verify: 0 when it holds, 1 when not', async () => {
    const path = at('place', 'mandates', 'glasses.mandate');
    const key = at('place', 'statements', 'wallet.key');
    const good = await saytap(['verify', path, '--key', key, ...told]);
    expect(good).toMatchObject({ code: EXITS.ok, err: '' });
    expect(good.out).toMatch(/^valid mandate [0-9a-f]{32}\n/);
    expect(JSON.parse(good.out.slice(good.out.indexOf('\n')))).toMatchObject({
      funding: 'acct-wang',
    });

    const other = at('place', 'statements', 'kiosk.key');
    expectLine(
      await saytap(['verify', path, '--key', other, ...told]),
      'failed',
      /^saytap: bad_signature: /,
    );
    const elsewhere = told.with(-1, 'other');
    expectLine(
      await saytap(['verify', path, '--key', key, ...elsewhere]),
      'failed',
      /bad_signature/,
    );
    const live = told.with(3, 'live');
    expectLine(await saytap(['verify', path, '--key', key, ...live]), 'failed', /sim_in_live/);
    const bytes = Uint8Array.from(mandate());
    writeFileSync(at('flipped'), bytes.with(40, bytes[40]! ^ 1));
    const flipped = await saytap(['verify', at('flipped'), '--key', key, ...told]);
    expect(flipped).toMatchObject({ code: EXITS.failed, out: '' });
    expectLine(
      await saytap(['verify', path, '--key', at('none'), ...told]),
      'config',
      /does not exist/,
    );
  });
});

describe('keys and mandates', () => {
  const grant = (out: string) => [
    ...['wallet', 'grant', '--wallet', at('place', 'wallet.key.pem')],
    ...['--to', at('place', 'statements', 'glasses.key'), '--env', 'sim', '--ledger', 'demo'],
    ...['--funding', 'acct-1', '--currency', 'CNY', '--per-payment', '20', '--per-day', '50'],
    ...['--total', '100', '--out', out],
  ];

  test.each(['keygen', 'wallet new'])(
    '%s makes a private key once and never overwrites',
    async (how) => {
      const path = at(`${how.replace(' ', '-')}.pem`);
      const args = [...how.split(' '), '--out', path];
      const made = await saytap(args);
      expect(made).toMatchObject({ code: 0, err: '' });
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readFileSync(`${path}.pub`, 'utf8')).toContain('BEGIN PUBLIC KEY');
      const before = readFileSync(path, 'utf8');
      expectLine(await saytap(args), 'key', `${path} exists already: choose another name`);
      expect(readFileSync(path, 'utf8')).toBe(before);
    },
  );

  test.each([
    ['no', 'no\n'],
    ['nothing but a return', '\n'],
    ['y', 'y\n'],
    ['the end of input', ''],
  ])('grant shows the text and asks; %s signs nothing', async (why, answer) => {
    const out = at(`${why.replaceAll(' ', '-')}.mandate`);
    const ended = await saytap(grant(out), answer);
    expect(ended.code).toBe(EXITS.failed);
    expect(ended.out).toContain('At most 20.00 yuan per payment.');
    expect(ended.err).toContain('Sign this? Type yes: ');
    expect(ended.err).toContain('saytap: nothing was signed');
    expect(files.read(out)).toBeUndefined();
  });

  test.each([
    ['a typed yes', 'yes\n', []],
    ['--yes', '', ['--yes']],
  ])('%s signs, and the mandate shows as granted', async (why, answer, more) => {
    const out = at(`${why.replaceAll(' ', '')}.mandate`);
    const ended = await saytap([...grant(out), ...more], answer);
    expect(ended.code).toBe(EXITS.ok);
    expect(ended.out).toMatch(/^mandate [0-9a-f]{32} in /m);
    const shown = await saytap(['wallet', 'show', out]);
    expect(shown).toMatchObject({ code: 0, err: '' });
    expect(shown.out).toContain('At most 50.00 yuan and 20 times per day (UTC).');
    const told = ['--kind', 'mandate', '--env', 'sim', '--ledger', 'demo'];
    const key = at('place', 'statements', 'wallet.key');
    expect((await saytap(['verify', out, '--key', key, ...told])).code).toBe(EXITS.ok);
  });

  test('grant fails in one line: amount, wallet, place', async () => {
    const args = grant(at('x.mandate'));
    const bad = args.with(args.indexOf('--total') + 1, 'much');
    expectLine(await saytap([...bad, '--yes']), 'usage', /^saytap: --total is not an amount/);
    const unwritable = await saytap([...grant(at('none', 'x.mandate')), '--yes']);
    expect(unwritable.code).toBe(EXITS.storage);
    expect(unwritable.err).toMatch(/^saytap: cannot write .*: the folder .*none does not exist\n$/);
    const lost = args.with(args.indexOf('--wallet') + 1, at('none.pem'));
    const walletless = await saytap([...lost, '--yes']);
    expect(walletless.code).toBe(EXITS.key);
    expect(walletless.err).toBe(
      `saytap: ${at('none.pem')} does not exist: make it with saytap keygen\n`,
    );
  });
});

test('an encrypted root asks at the terminal, names a key, and the statement holds', async () => {
  const [words, rootKey] = ['three old goats sing', at('r', 'root.key.pem')];
  const init = await saytap(['root', 'init', '--out', at('r')], `${words}\n${words}\n`);
  expect(init.err).toBe("Passphrase for the root's key: Again: ");
  expect(init.code).toBe(EXITS.ok);
  const own = at('named.pem');
  await saytap(['keygen', '--out', own]);
  const realm = ['--env', 'sim', '--ledger', 'demo'];
  const out = at('signed', 'bridge.key');
  const sign = ['root', 'sign', 'key', '--root', rootKey, ...realm, '--role', 'bridge'];
  const args = [...sign, '--key', `${own}.pub`, '--out', out];
  expect(await saytap(args, `wrong\nyes\n`)).toMatchObject({
    code: EXITS.key,
    err: `Passphrase of ${rootKey}: saytap: ${rootKey} cannot be used: the passphrase is wrong\n`,
    out: '',
  });
  const signed = await saytap(args, `${words}\nyes\n`);
  expect(signed).toMatchObject({
    code: EXITS.ok,
    err: `Passphrase of ${rootKey}: Sign this? Type yes: `,
  });
  expect(signed.out).toContain('is a bridge');
  const told = ['--key', at('r', 'root.pub.pem'), '--kind', 'key', ...realm];
  expect((await saytap(['verify', out, ...told])).code).toBe(EXITS.ok);
});

describe('a device whose broker is away', () => {
  test('ends at once when its input does, and on SIGTERM', async () => {
    const path = at('place', 'glasses.yaml');
    writeFileSync(
      path,
      [
        ...['environment: sim', 'ledger: demo', 'root: root.pub.pem', 'statements: statements'],
        ...['policy: platform.policy', 'profile: glasses', 'folder: glasses', 'device: glasses-1'],
        ...['mandates: mandates', 'mqtt: { url: "mqtt://127.0.0.1:1" }', ''],
      ].join('\n'),
    );
    const ended = await saytap(['device', '--config', path]);
    expect(ended.code).toBe(0);
    expect(ended.out).toContain('glasses-1 (glasses, sim) on mqtt://127.0.0.1:1');

    const child = spawn(process.execPath, [CLI, 'device', '--config', path], { stdio: 'pipe' });
    let err = '';
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const gone = new Promise<number | null>((done) => child.once('exit', done));
    await expect.poll(() => err, { timeout: 10_000 }).toContain('the service is away, waiting');
    child.kill('SIGTERM');
    expect(await gone).toBe(0);
  });
});

describe('the device at a prompt, with nobody there', () => {
  test('answers at once, keeps no confirmation for later, and ends', async () => {
    const config = at('place', 'alone.yaml');
    writeFileSync(
      config,
      [
        'environment: sim\nledger: demo\ndevice: glasses-1\nprofile: glasses\nfolder: glasses',
        'root: root.pub.pem\nstatements: statements\npolicy: platform.policy',
        'mandates: mandates\nmqtt: { url: "mqtt://127.0.0.1:9" }',
      ].join('\n'),
    );
    const said = 'help\npay 3 yuan to Luckin Coffee\nconfirm payment\nlook .\nquit\n';
    const { code, out } = await saytap(['device', '--config', config], said);
    expect(code).toBe(EXITS.ok);
    expect(out).toContain('Say “pay 12.50 yuan to …”');
    expect(out).toContain('There is no connection.');
    expect(out).not.toContain('Paying');
  });
});

test('a reader that goes away is no failure', async () => {
  const path = at('place', 'mandates', 'glasses.mandate');
  const child = spawn('sh', [
    '-c',
    `"$0" "$1" inspect "$2" | head -1`,
    process.execPath,
    CLI,
    path,
  ]);
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  await new Promise((done) => child.once('close', done));
  expect(err).toBe('');
});

test.each([
  ['verify takes one file', ['verify', 'a', 'b']],
  ['start takes none', ['start', 'extra']],
  ['an empty data folder is none', ['start', '--data=']],
])('%s', async (_why, args) => {
  expectLine(await saytap(args), 'usage', /^saytap: /);
});
