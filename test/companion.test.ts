/**
 * From nothing to the first payment, with the wearer's page in a real Chromium: root, bridge,
 * ledger and risk begin in empty folders, the wearer opens a link, makes the wallet's key, pairs
 * the glasses by the code on their screen and grants; the glasses pay, the page shows what is left,
 * and after a revoke in the page they pay no more.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type Page, chromium } from 'playwright-core';
import { stringify } from 'yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTeller } from '../simulator/teller.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { openKeyFile, openSecretFile } from '../src/keyfile.ts';
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { type Child, startChild } from '../src/node/child.ts';
import { createHttp } from '../src/node/http.ts';
import { clock, files, random } from '../src/node/platform.ts';
import { enrol as enrolKind } from '../src/objects/enrol.ts';
import { seal } from '../src/objects/kind.ts';
import { shortCode, spelled } from '../src/pairing.ts';
import { type Asked, readPolicy, signPolicy, signStatement, statementOf } from '../src/root.ts';
import { nodeSigner, publicPem } from '../src/signer.ts';
import { requirePart } from './parts.ts';
import { freePort } from './site.ts';

const REALM: Realm = { environment: 'sim', ledger: 'demo' };
const CLI = join(import.meta.dirname, '../src/cli.ts');
const part = requirePart('chromium');
const pictures = process.env['SAYTAP_PICTURES'];

let folder: string;
const stops: (() => unknown)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-page-'));
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

const at = (...names: string[]) => join(folder, ...names);

/** Root, one till that the root has named, ledger, risk and bridge, out of nothing. */
async function openSite() {
  for (const name of ['statements', 'bridge']) mkdirSync(at(name));
  const root = nodeSigner(openKeyFile(files, at('root.key.pem'), 'ES256'));
  const nowS = Math.floor(clock.nowMs() / 1000);
  const state = async (name: string, signer: Signer, asked: Omit<Asked, 'key' | 'nbf' | 'exp'>) => {
    const valid = { nbf: nowS - 60, exp: nowS + 86_400 };
    const statement = statementOf({ ...asked, ...valid, key: signer.key.public });
    writeFileSync(at('statements', `${name}.key`), await signStatement(statement, REALM, root));
  };
  const key = (path: string) => nodeSigner(openKeyFile(files, at(path), 'ES256'));
  await state('bridge', key('bridge/bridge.key.pem'), { role: 'bridge' });
  await state('till', key('till.key.pem'), {
    ...{ role: 'terminal', device: 'till-1', payee: 'luckin-coffee', terminal: 'till-1' },
    names: [
      ['en', 'Luckin Coffee'],
      ['zh', '瑞幸咖啡'],
    ],
  });
  writeFileSync(at('root.pub.pem'), publicPem(root.key));
  const policy = `version: 1
scope: platform
ladders:
  - currency: CNY
    bands: [{ upTo: "20.00", presence: 1 }, { upTo: "1000.00", presence: 2 }]
`;
  const signed = await signPolicy(readPolicy(policy, 'policy', nowS), REALM, root, undefined);
  writeFileSync(at('platform.policy'), signed);
  const secret = (name: string) => openSecretFile(files, random, at(`${name}.secret`), 32);
  secret('risk');

  const run = async (program: string, settings: object): Promise<Child> => {
    writeFileSync(at(`${program}.yaml`), stringify(settings));
    const child = await startChild(CLI, [program, '--config', at(`${program}.yaml`)]);
    stops.push(child.stop);
    return child;
  };
  const listen = { host: '127.0.0.1', port: 0 };
  const thresholds = { stepUp: 900, deny: 950 };
  const risk = { listen, database: 'risk.db', secret: 'risk.secret', thresholds };
  const ledger = { listen, database: 'ledger.db', secret: 'ledger.secret' };
  const urlIn = ({ said }: Child) => /\S+:\/\/\S+/.exec(said)![0];
  const [riskUrl, ledgerUrl] = (await Promise.all([run('risk', risk), run('ledger', ledger)])).map(
    urlIn,
  );
  const { http, close } = createHttp();
  stops.push(close);
  const ports = { http, secret: secret('ledger'), clock, random };
  const teller = createTeller({ ...ports, url: ledgerUrl! });
  await teller.open('acct-wang', undefined, { currency: 'CNY', minor: 1_000_00n });
  const port = await freePort();
  const url = `https://localhost:${port}`;
  await run('bridge', {
    ...REALM,
    ...{ folder: 'bridge', root: 'root.pub.pem', statements: 'statements' },
    ...{ policy: 'platform.policy', mqtt: { listen }, log: 'warn' },
    risk: { url: riskUrl, secret: 'risk.secret' },
    backends: [{ kind: 'ledger', url: ledgerUrl, secret: 'ledger.secret' }],
    https: { listen: { host: '127.0.0.1', port }, url },
    enrol: { root: 'root.key.pem' },
  });
  return { url, teller, http, ca: readFileSync(at('bridge/ca.pem'), 'utf8') };
}

/** A command of saytap that ends by itself; its output. */
async function saytap(...args: string[]): Promise<string> {
  return new Promise((done, fail) => {
    execFile(process.execPath, [CLI, ...args], (error, stdout) =>
      error ? fail(error) : done(stdout),
    );
  });
}

/** A phone's browser that trusts this site's own authority and no exception besides. */
async function openBrowser(ca: string): Promise<Browser> {
  const spki = createPublicKey(
    new X509Certificate(ca).publicKey.export({ format: 'pem', type: 'spki' }),
  ).export({ format: 'der', type: 'spki' });
  const pin = createHash('sha256').update(spki).digest('base64');
  const browser = await chromium.launch({
    executablePath: part.path!,
    args: [
      `--ignore-certificate-errors-spki-list=${pin}`,
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
  stops.push(() => browser.close());
  return browser;
}

async function snap(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
}

type Site = Awaited<ReturnType<typeof openSite>>;

let opened: Promise<Site> | undefined;
const siteOnce = () => (opened ??= openSite());

/** A program of saytap at work, and what it has written so far. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = { text: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.text += text));
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  stops.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const hear = (what: RegExp, from = 0) =>
    expect.poll(() => said.text.slice(from), { timeout: 30_000 }).toMatch(what);
  return { child, said, ended, hear };
}

/** Glasses that ask to be enrolled, and show their codes. */
async function askToEnrol({ url }: Site) {
  const config = {
    ...{ ...REALM, device: 'glasses-1', profile: 'glasses', folder: 'glasses' },
    enrol: { url, ca: 'bridge/ca.pem' },
  };
  writeFileSync(at('glasses.yaml'), stringify(config));
  const enrolling = start('device', 'enrol', at('glasses.yaml'));
  const link = /https:\S+#[\w-]{64}/;
  const code = /[0-9A-Z]{5}-[0-9A-Z]{5}/;
  await enrolling.hear(link);
  await enrolling.hear(code);
  const { text } = enrolling.said;
  return { link: link.exec(text)![0], code: code.exec(text)![0], ended: enrolling.ended };
}

/** Glasses at work: says it, presses, and returns what the wearer is told. */
async function startGlasses() {
  const glasses = start('device', '--config', at('glasses.yaml'));
  await glasses.hear(/glasses-1 \(/);
  return async (amount: string, told: RegExp) => {
    // Said again until the device has heard from its bridge and asks.
    const from = glasses.said.text.length;
    await expect
      .poll(
        () => {
          const heard = glasses.said.text.slice(from);
          if (!heard.includes('?'))
            glasses.child.stdin.write(`pay ${amount} yuan to Luckin Coffee\n`);
          return heard;
        },
        { timeout: 30_000, interval: 1_500 },
      )
      .toContain('?');
    // A press straight after the question is not its answer.
    await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 200));
    glasses.child.stdin.write('\n');
    await glasses.hear(told, from);
  };
}

test('from nothing to the first payment and to a revoke, by the page', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const begun = performance.now();
  const site = await siteOnce();
  const browser = await openBrowser(site.ca);
  const phone = await browser.newContext({
    viewport: { width: 390, height: 844 },
    locale: 'en-GB',
    timezoneId: 'Asia/Shanghai',
  });
  const page = await phone.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && problems.push(line.text()));

  const invite = ['invite', 'wearer', '--config', at('bridge.yaml'), '--by', 'Li Na'];
  const link = (await saytap(...invite, '--funding', 'acct-wang')).split('\n')[0]!;
  await page.goto(link);
  await page.locator('#make').waitFor();
  expect(page.url()).toBe(`${site.url}/wallet`);
  await snap(page, '1-set-up');
  await page.locator('#make').click();
  await page.locator('#find').waitFor();
  await snap(page, '2-empty');

  // The code on the glasses' screen, as the phone's camera opens it.
  const glasses = await askToEnrol(site);
  await page.goto(glasses.link);
  await page.locator('#approve').waitFor();
  expect(await page.locator('#code').textContent()).toBe(glasses.code);
  await page.locator('#perPayment').fill('50');
  await page.locator('#perDay').fill('100');
  await page.getByLabel('Luckin Coffee').check();
  await snap(page, '3-pair');
  const shown = await page.locator('#text').textContent();
  expect(shown).toContain('At most 50.00 yuan per payment.');
  await page.locator('#approve').click();
  await page.locator('[data-device="glasses-1"]').waitFor();

  await glasses.ended;
  const pay = await startGlasses();
  await pay('12.50', /Paid 12\.50 yuan to Luckin Coffee/);
  const seconds = (performance.now() - begun) / 1000;
  console.log(`from nothing to the first payment in ${seconds.toFixed(1)} s`);
  expect(seconds).toBeLessThan(60);
  await expect
    .poll(() => page.locator('[data-status="active"] b').allTextContents(), { timeout: 10_000 })
    .toEqual(['1987.50 yuan left, 599 payments', '87.50 yuan left, 19 payments']);
  await page.locator('[data-device="glasses-1"] .dot.on').waitFor();
  await snap(page, '4-limits');

  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.locator('#sure').click();
  await page.locator('[data-status="revoked"]').waitFor();
  await pay('5', /revoked/);
  await snap(page, '5-revoked');
  expect(problems).toEqual([]);
});

test('an operator approves a till by the code on its screen, and blocks it', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { url, http, ca } = await siteOnce();
  const browser = await openBrowser(ca);
  const desk = await browser.newContext({ locale: 'zh-CN', colorScheme: 'dark' });
  const page = await desk.newPage();
  await page.goto(`${url}/pair`);
  await page.getByText('saytap invite operator').waitFor();
  const invite = ['invite', 'operator', '--config', at('bridge.yaml'), '--by', 'Li Na'];
  await page.goto((await saytap(...invite)).split('\n')[0]!);
  await page.locator('#waiting').waitFor();

  const own = nodeSigner(openKeyFile(files, at('kiosk.key.pem'), 'ES256'));
  const asked = { iat: Math.floor(clock.nowMs() / 1000), key: own.key.public };
  const named = { ...asked, role: 'terminal' as const, device: 'kiosk-7' };
  const body = await seal(enrolKind, named, REALM, own);
  const limits = { timeoutMs: 10_000, answerBytesMax: 1_000_000 };
  const call = {
    method: 'POST' as const,
    url: `${url}/v1/enrol`,
    headers: {},
    body,
    ca,
    ...limits,
  };
  expect((await http(call)).status).toBe(202);
  const code = spelled(shortCode(own.key.thumbprint));
  await page.locator(`[data-waiting="${own.key.name}"] button`).click();
  await page.locator('#approve').waitFor();
  expect(await page.locator('#code').textContent()).toBe(code);
  // What decides who receives money is never filled in by the device.
  expect(await page.locator('#payee').inputValue()).toBe('');
  await snap(page, '6-operator');
  // By keyboard alone.
  await page.locator('#payee').focus();
  await page.keyboard.type('luckin-coffee');
  await page.keyboard.press('Tab');
  await page.keyboard.type('till-7');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Luckin <img src=x onerror=alert(1)>');
  await page.locator('#approve').focus();
  await page.keyboard.press('Enter');
  const row = page.locator('[data-device="kiosk-7"]');
  await row.waitFor();
  expect((await http(call)).status).toBe(200);
  await snap(page, '7-devices');

  await row.getByRole('button', { name: '遗失' }).click();
  await page.keyboard.press('Escape');
  expect((await http(call)).status).toBe(200);
  await row.getByRole('button', { name: '遗失' }).click();
  await page.locator('#sure').click();
  await page.locator('[data-device="kiosk-7"].over').waitFor();
  expect((await http(call)).status).toBe(403);
});
