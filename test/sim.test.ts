/**
 * `saytap sim` as a newcomer meets it, with the page in a real Chromium: pays by words, by looking
 * at the kiosk's code and by a tag, with the PIN, not over a limit, not after a revoke; and goes
 * through a storm of the panel, after which the ledger has nothing twice and nothing is lost.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { STORY } from '../simulator/install.ts';
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { faultsOf } from './axe.ts';
import { requirePart } from './parts.ts';

const part = requirePart('chromium');
const pictures = process.env['SAYTAP_PICTURES'];
const CLI = join(import.meta.dirname, '../src/cli.ts');
const PATIENCE = { timeout: 30_000 };
const folder = mkdtempSync(join(tmpdir(), 'saytap-sim-'));
const stops: (() => unknown)[] = [];
let browser: Browser;
let page: Page;
let url: string;
const problems: string[] = [];

beforeAll(async () => {
  if (part.missing !== undefined) return;
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const launching = chromium.launch({ executablePath: part.path!, args });
  url = await startSimulator();
  browser = await launching;
  stops.push(() => browser.close());
  const viewport = { width: 1280, height: 800 };
  // Colours that are on their way to others have no contrast to speak of.
  const look = { colorScheme: 'light', reducedMotion: 'reduce' } as const;
  const context = await browser.newContext({ viewport, locale: 'en-GB', ...look });
  page = await context.newPage();
  const own = new URL(url).origin;
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && problems.push(line.text()));
  page.on('request', (one) => !one.url().startsWith(own) && problems.push(one.url()));
  await page.goto(url);
  await glasses().locator('.dot.on').waitFor(PATIENCE);
  await kiosk().locator('.dot.on').first().waitFor(PATIENCE);
}, 90_000);

afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

/** The whole address that it prints. */
async function startSimulator(): Promise<string> {
  const child = spawn(process.execPath, [CLI, 'sim', '--port', '0', '--data', folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const ended = new Promise((done) => child.once('close', done));
  stops.push(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const address = () => /http:\/\/127\.0\.0\.1:\d+\/#\S+/.exec(said)?.[0];
  return new Promise((found, fail) => {
    child.stdout.on('data', () => address() && found(address()!));
    void ended.then(() => fail(new Error(said)));
  });
}

const glasses = () => page.locator(`[data-device="${STORY.glasses}"].glasses`);
const kiosk = () => page.locator(`[data-device="${STORY.kiosk}"].counter`);
const tally = (name: string) => page.locator(`[data-tally="${name}"]`);
const count = async (name: string) => Number(await tally(name).textContent());

async function say(text: string): Promise<void> {
  await glasses().getByRole('textbox', { name: 'Say something' }).fill(text);
  await page.keyboard.press('Enter');
}

/** Says it again for as long as the glasses have no connection, or not yet what they may pay. */
async function sayUntilAsked(text: string): Promise<void> {
  const asked = glasses().locator('.hud-amount');
  const ask = async () => {
    if (!(await asked.isVisible())) await say(text);
    return asked.isVisible();
  };
  await expect.poll(ask, { ...PATIENCE, interval: 1_500 }).toBe(true);
}

/** Waits for the question, and taps the temple once it can have been read. */
async function confirm(amount: RegExp): Promise<void> {
  await glasses().locator('.hud-amount', { hasText: amount }).waitFor(PATIENCE);
  await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 100));
  await glasses()
    .getByRole('button', { name: /Tap the temple/ })
    .click();
}

const told = (what: RegExp) => glasses().locator('.hud-said', { hasText: what }).waitFor(PATIENCE);

async function snap(name: string): Promise<void> {
  if (pictures === undefined) return;
  await page.evaluate('scrollTo({ top: 0, behavior: "instant" })');
  await page.screenshot({ path: join(pictures, `sim-${name}.png`), fullPage: true });
}

/** Puts one of the first thing on offer on an order, and waits for its code. */
async function order(): Promise<void> {
  await kiosk().locator('.offer').first().click();
  await kiosk().getByRole('button', { name: 'Pay by looking' }).click();
  await kiosk().locator('.order[data-state="open"] .code').waitFor(PATIENCE);
}

const paidAtKiosk = () => kiosk().locator('.order[data-state="paid"]').waitFor(PATIENCE);

test('pays by words', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await snap('beginning');
  await say('pay 3 yuan to Luckin Coffee');
  await confirm(/3\.00 yuan/);
  await told(/Paid 3\.00 yuan to Luckin Coffee/);
  await expect.poll(() => count('paid'), PATIENCE).toBeGreaterThan(0);
});

test("pays by looking at the kiosk's code, which is dragged onto the glasses", async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await order();
  await kiosk().locator('.order-code').dragTo(glasses().locator('.lens'));
  await confirm(/yuan/);
  await paidAtKiosk();
  await snap('looked');
  await kiosk().getByRole('button', { name: 'Next customer' }).click();
});

test('pays by a tag', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await order();
  await kiosk().getByRole('button', { name: 'This order' }).click();
  await confirm(/yuan/);
  await paidAtKiosk();
  await kiosk().getByRole('button', { name: 'Next customer' }).click();
});

test('a message of it opens: bytes, signature, decision, postings', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await page.locator('.hop', { hasText: 'Signed request' }).first().click();
  const detail = page.locator('dialog.detail');
  await detail.getByRole('heading', { name: 'Signature' }).waitFor(PATIENCE);
  await detail.locator('.state.good').first().waitFor();
  expect(await detail.locator('pre').first().textContent()).toMatch(/mandate|amount/);
  expect(await detail.locator('tbody tr').count()).toBeGreaterThan(0);
  await snap('detail');
  await page.keyboard.press('Escape');
  await detail.waitFor({ state: 'detached' });
});

test('steps up to the PIN', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await say('pay 120 yuan to Luckin Coffee');
  await confirm(/120\.00 yuan/);
  const pad = glasses().getByRole('group', { name: 'PIN' });
  await pad.waitFor(PATIENCE);
  await snap('pin');
  for (const digit of STORY.pin) {
    await pad.getByRole('button', { name: digit, exact: true }).click();
  }
  await pad.getByRole('button', { name: 'Enter', exact: true }).click();
  await told(/Paid 120\.00 yuan/);
});

test('is refused over a limit, before anything is sent', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await say('pay 900 yuan to Luckin Coffee');
  await told(/more than you allowed|limit/i);
});

test('revokes in the companion and is refused, is granted anew and pays', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const limit = page.locator(`.limit[data-device="${STORY.glasses}"]`);
  await limit.getByRole('button', { name: 'Revoke' }).first().click();
  await page.locator('#sure').click();
  await page.locator(`#grant-${STORY.glasses}`).waitFor(PATIENCE);
  await say('pay 2 yuan to Luckin Coffee');
  // What was revoked is known to the glasses, or they hear it from the bridge.
  const asked = glasses().locator('.hud-amount', { hasText: '2.00 yuan' });
  const refused = glasses().locator('.hud-said', { hasText: /revoked|no authorisation/ });
  await asked.or(refused).first().waitFor(PATIENCE);
  if (await asked.isVisible()) await confirm(/2\.00 yuan/);
  await refused.waitFor(PATIENCE);
  await snap('revoked');
  await page.locator(`#grant-${STORY.glasses}`).click();
  await page.getByRole('dialog').getByText('At most 200.00 yuan per payment').waitFor(PATIENCE);
  await snap('granted');
  await page.keyboard.press('Escape');
  await limit.locator('.window').first().waitFor(PATIENCE);
  await glasses().locator('.dot.on').waitFor(PATIENCE);
  await sayUntilAsked('pay 2 yuan to Luckin Coffee');
  await confirm(/2\.00 yuan/);
  await told(/Paid 2\.00 yuan/);
});

test('other glasses are added and approved by their code', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  await page.getByRole('button', { name: 'Add glasses' }).click();
  await page.locator('.pairing .short').waitFor(PATIENCE);
  await snap('pairing');
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.locator('.pairing').waitFor({ state: 'detached', ...PATIENCE });
  await page.locator('.tab[data-state="on"]').nth(2).waitFor(PATIENCE);
});

test('goes through a storm, and nothing is twice and nothing lost', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const before = await count('paid');
  const trouble = (name: string) => page.locator(`[data-trouble="${name}"]`);
  for (const name of ['duplicate', 'reorder', 'ledger_lost', 'ledger_twice']) {
    await trouble(name).click();
    await page.locator(`[data-trouble="${name}"][aria-pressed="true"]`).waitFor(PATIENCE);
  }
  for (const amount of [4, 5, 6]) {
    await sayUntilAsked(`pay ${amount} yuan to Luckin Coffee`);
    await confirm(new RegExp(`${amount}\\.00 yuan`));
    // Signed and on the disk: whatever happens from here on, it ends once.
    await told(/Paying|Paid|Do not pay again/);
    if (amount === 4) await page.getByRole('button', { name: 'kill −9 bridge' }).click();
    if (amount === 5) await trouble('broker_restart').click();
    // Paid, or not confirmed yet: either way the next one may be asked.
    await told(/Paid|Do not pay again/);
  }
  await snap('storm');
  await page.locator('#calm').click();
  await expect.poll(() => count('waiting'), { timeout: 60_000 }).toBe(0);
  await expect.poll(() => count('paid'), PATIENCE).toBe(before + 3);
  expect([await count('twice'), await count('lost')]).toEqual([0, 0]);
});

test('speaks Chinese, in the dark, on a phone', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  expect(await faultsOf(page)).toEqual([]);
  await page.getByRole('button', { name: '中文' }).click();
  await page
    .getByRole('button', { name: /轻触镜腿/ })
    .first()
    .waitFor(PATIENCE);
  await page.getByRole('button', { name: '深色' }).click();
  await snap('zh-dark');
  await page.setViewportSize({ width: 390, height: 844 });
  await snap('zh-phone');
  expect(await faultsOf(page)).toEqual([]);
  expect(problems).toEqual([]);
});
