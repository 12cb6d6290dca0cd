// Method: questions to a window first; then the page itself in a real Chromium, on a real server,
// with a device that only keeps what it was handed.
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Page, chromium } from 'playwright-core';
import { createScreen } from '../../device/surface/screen.ts';
import type { Touch } from '../../device/touch.ts';
import { WINDOW_HEADER, type View } from '../../device/view.ts';
import { createWindow } from '../../device/window.ts';
import { createGate, GATE_HEADERS } from '../../src/gate.ts';
import { HTTP_BYTES_MAX, SCREENS_MAX } from '../../src/limits.ts';
import { serveHttp } from '../../src/node/http.ts';
import { openPages } from '../../src/node/pages.ts';
import { timers } from '../../src/node/platform.ts';
import type { HttpQuestion } from '../../src/platform.ts';
import { faultsOf } from '../axe.ts';
import { requirePart } from '../parts.ts';
import { createFakeTime } from './stage.ts';

const SECRET = 'aa'.repeat(32);
const part = requirePart('chromium');
const pictures = process.env['SAYTAP_PICTURES'];
const stops: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

function open(port: () => number, clock = createFakeTime().timers) {
  const screen = createScreen(clock);
  const touched: Touch[] = [];
  const state = { isOnline: true, open: 0 };
  const window = createWindow({
    gate: createGate({ header: WINDOW_HEADER, secret: SECRET, port }),
    pages: openPages('screen'),
    screen,
    touch: async (touch) => void touched.push(touch),
    hello: () => ({
      ...{ kind: 'hello', language: 'en', environment: 'sim', title: 'Luckin <b>Coffee</b>' },
      currency: 'CNY',
      offers: [
        { text: 'Latte', minor: '2000' },
        { text: 'Bagel <img src=x onerror=alert(1)>', minor: '1250' },
      ],
    }),
    state: () => ({ ...state }),
    timers: clock,
    log: () => {},
  });
  return { window, screen, touched, state };
}

describe('a window answers', () => {
  const own = {
    host: '127.0.0.1:80',
    origin: 'http://127.0.0.1:80',
    'content-type': 'application/json',
    [WINDOW_HEADER]: SECRET,
  };
  const ask = (
    path: string,
    { body = '{"kind":"press"}', method = 'POST', headers = own as Record<string, string> } = {},
  ): HttpQuestion => ({ path, method, headers, body: new TextEncoder().encode(body) });

  async function statusOf(question: HttpQuestion) {
    const opened = open(() => 80);
    const reply = await opened.window.answer(question);
    return { ...opened, status: reply === 'drop' ? 0 : reply.status };
  }

  test('what is done by its own page reaches the device', async () => {
    const { status, touched } = await statusOf(ask('/v1/ask/touch'));
    expect([status, touched]).toEqual([200, [{ kind: 'press' }]]);
  });

  const { [WINDOW_HEADER]: _, ...without } = own;
  test.each([
    ['no secret', 403, ask('/v1/ask/touch', { headers: without })],
    ['another origin', 403, ask('/v1/ask/touch', { headers: { ...own, origin: 'http://evil' } })],
    ['another name', 403, ask('/v1/ask/touch', { headers: { ...own, host: 'evil.example' } })],
    [
      'a form of HTML',
      405,
      ask('/v1/ask/touch', { headers: { ...own, 'content-type': 'text/plain' } }),
    ],
    ['a GET', 405, ask('/v1/ask/touch', { method: 'GET' })],
    ['no JSON', 400, ask('/v1/ask/touch', { body: '{' })],
    ['no touch', 400, ask('/v1/ask/touch', { body: '{"kind":"quit"}' })],
    ['another verb', 404, ask('/v1/ask/sign')],
    ['a file by another name of this machine', 403, ask('/', { headers: { host: 'evil' } })],
    ['a file that there is not', 404, ask('/../key.pem', { method: 'GET' })],
  ])('%s with %i, and the device hears nothing', async (_why, wanted, question) => {
    const { status, touched } = await statusOf(question);
    expect([status, touched]).toEqual([wanted, []]);
  });

  test('a feed begins with everything, and there are only so many', () => {
    const { window, screen, state } = open(() => 80);
    screen.surface.say('Hello', 'waiting');
    const heard: View[] = [];
    const feed = () => window.feed(ask('/v1/events', { method: 'GET' }));
    expect(window.feed(ask('/v1/events', { method: 'GET', headers: without }))).toBeUndefined();
    const send = (text: string) => heard.push(JSON.parse(text.slice(5)) as View);
    const gone = feed()!.begin({ send, end: () => {} });
    expect(heard.map(({ kind }) => kind)).toEqual(['hello', 'shown', 'state']);
    expect(heard[1]).toMatchObject({ shown: { sentence: 'Hello' } });
    expect(heard[2]).toEqual({ kind: 'state', ...state });
    screen.surface.say('Again', 'waiting');
    expect(heard.at(-1)).toMatchObject({ shown: { sentence: 'Again' } });
    for (let n = 1; n < SCREENS_MAX; n++) feed()!.begin({ send: () => {}, end: () => {} });
    expect(feed(), 'one too many').toBeUndefined();
    gone();
    screen.surface.say('Nobody', 'waiting');
    expect(heard.at(-1)).toMatchObject({ shown: { sentence: 'Again' } });
    expect(feed()).toBeDefined();
  });
});

async function snap(page: Page, name: string): Promise<void> {
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

async function visit(): Promise<ReturnType<typeof open> & { page: Page; url: string }> {
  let port = 0;
  const opened = open(() => port, timers);
  const { answer, feed, renew } = opened.window;
  const listen = { host: '127.0.0.1', port: 0, bytesMax: HTTP_BYTES_MAX };
  const server = await serveHttp({ ...listen, answer, feed });
  port = server.port;
  stops.push(async () => {
    renew();
    await server.close();
  });
  const browser = await chromium.launch({
    executablePath: part.path!,
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  stops.push(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  return { ...opened, page, url: `http://127.0.0.1:${port}/` };
}

test("a kiosk's screen: chosen, ordered, paid, and what is text stays text", async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { page, url, screen, touched, state } = await visit();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && problems.push(line.text()));
  const elsewhere: string[] = [];
  page.on('request', (asked) => !asked.url().startsWith(url) && elsewhere.push(asked.url()));
  await page.goto(`${url}#${SECRET}`);
  await page.getByText('SIMULATED').waitFor();
  await page.getByText('Luckin <b>Coffee</b>').waitFor();
  expect(page.url(), 'the secret is in no history').toBe(url);

  const latte = page.getByRole('button', { name: 'Latte 20.00 yuan' });
  await latte.click();
  await latte.focus();
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /^Bagel <img/ }).click();
  await page.getByText('52.50 yuan').waitFor();
  await snap(page, 'kiosk-basket');
  expect(await faultsOf(page)).toEqual([]);
  await page.getByRole('button', { name: 'Pay by looking' }).click();
  const lines = [
    { text: 'Latte', quantity: 2, minor: '4000' },
    { text: 'Bagel <img src=x onerror=alert(1)>', quantity: 1, minor: '1250' },
  ];
  await expect.poll(() => touched).toEqual([{ kind: 'order', currency: 'CNY', lines }]);

  const { settled } = screen.order({
    ...{ id: 'ab'.repeat(16), number: 'abababab', uri: 'saytap://order/AA' },
    lines: [{ text: 'Latte', quantity: 2, total: '4000' }],
    total: { currency: 'CNY', minor: '5250' },
  });
  await page.getByRole('img', { name: 'Code of order abababab' }).waitFor();
  await snap(page, 'kiosk-order');
  expect(await faultsOf(page)).toEqual([]);
  // Loaded anew it shows the same, and still may.
  await page.reload();
  await page.getByRole('img', { name: 'Code of order abababab' }).waitFor();
  settled('paid');
  await page.getByText('Paid', { exact: true }).waitFor();
  await snap(page, 'kiosk-paid');
  await page.getByRole('button', { name: 'Next customer' }).click();
  await expect.poll(() => touched.at(-1)).toEqual({ kind: 'clear' });
  await page.getByText('connected').waitFor();
  state.isOnline = false;
  await page.getByText('no connection').waitFor();
  expect([problems, elsewhere]).toEqual([[], []]);
});

test('without the secret the page says where to look, and shows nothing', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { page, url } = await visit();
  const answer = await page.goto(url);
  const policy = answer!.headers()['content-security-policy'];
  expect(policy).toBe(GATE_HEADERS['content-security-policy']);
  await page.getByText('screen.url').waitFor();
  expect(await page.getByText('Luckin').count()).toBe(0);
});
