// Method: the page in a real Chromium, told a story by a host that is none: every event is written
// here, so that each thing which the page can show is shown, in both languages and both themes.
// What is asked of a real host is asked in test/sim.test.ts.
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event, Hello, Hop, Language } from '../../simulator/page/wire.ts';
import { GATE_HEADERS } from '../../src/gate.ts';
import { HTTP_BYTES_MAX } from '../../src/limits.ts';
import { serveHttp } from '../../src/node/http.ts';
import { makePages } from '../../src/node/pages.ts';
import type { HttpReply, Listener } from '../../src/platform.ts';
import { faultsOf } from '../axe.ts';
import { requirePart } from '../parts.ts';

const part = requirePart('chromium');
const pictures = process.env['SAYTAP_PICTURES'];
const BAD = '<img src=x onerror=alert(1)>';
const START_MS = Date.UTC(2026, 6, 1, 4, 30, 5);
const stops: (() => Promise<unknown>)[] = [];
let browser: Browser;
let files: Awaited<ReturnType<typeof makePages>>;

beforeAll(async () => {
  files = await makePages('simulator');
  if (part.missing !== undefined) return;
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  browser = await chromium.launch({ executablePath: part.path!, args });
  stops.push(() => browser.close());
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

const glasses = { name: 'glasses-1', kind: 'glasses', pin: '2468' } as const;
const kiosk = { name: 'kiosk-1', kind: 'kiosk', payee: 'luckin-coffee' } as const;

function hello(language: Language): Hello {
  return {
    ...{ kind: 'hello', version: '0.1.0', language, currency: 'CNY', troubles: [] },
    payees: [
      {
        id: 'luckin-coffee',
        names: [
          ['en', 'Luckin Coffee'],
          ['zh', '瑞幸咖啡'],
        ],
      },
    ],
    catalogue: [
      {
        names: [
          ['en', 'Latte'],
          ['zh', '拿铁'],
        ],
        minor: '2000',
      },
      { names: [['en', 'Bagel']], minor: '1250' },
    ],
    devices: [glasses, kiosk],
    scenarios: [{ name: 'lunch-rush', about: 'Cut links and one kill', where: 'here' }],
  };
}

const up = { isOnline: true, isWorn: true, open: 0, life: 'up' } as const;

function beginning(language: Language): readonly Event[] {
  return [
    hello(language),
    { kind: 'device', device: glasses, ...up },
    { kind: 'device', device: kiosk, ...up },
    { ...TALLY, asked: 0, paid: 0, waiting: 0, refused: 0 },
    { kind: 'pairings', list: [] },
    { kind: 'statement', rows: [], isFresh: true },
    { kind: 'now' },
  ];
}

const TALLY = {
  kind: 'tally',
  ...{ asked: 14, paid: 12, twice: 0, lost: 0, waiting: 1, refused: 1, isKnown: true },
} as const;

function hop(number: number, ms: number, what: Omit<Hop, 'kind' | 'payment' | 'number' | 'atMs'>) {
  return { kind: 'hop', payment: 'p2', number, atMs: START_MS + ms, ...what } as const;
}

/** Everything that can be on the page at once. */
const STORY: readonly Event[] = [
  {
    ...{ kind: 'shown', device: 'kiosk-1', seq: 1 },
    shown: {
      ...{ kind: 'order', id: 'ab12cd34'.repeat(4), number: 'ab12cd34', state: 'open' },
      uri: `saytap://order/${'g1'.repeat(200)}`,
      lines: [{ text: `Latte ${BAD}`, quantity: 2, total: '4000' }],
      total: { currency: 'CNY', minor: '4000' },
    },
  },
  {
    ...{ kind: 'shown', device: 'glasses-1', seq: 1 },
    shown: {
      kind: 'ask',
      frame: { payee: BAD, amount: '40.00 yuan', lines: ['2 × Latte  40.00 yuan'], needs: 3 },
      sentence: 'Pay 40.00 yuan?',
      wants: 'pin',
    },
  },
  {
    ...{ kind: 'device', device: { name: 'glasses-2', kind: 'glasses' } },
    ...{ ...up, isOnline: false, life: 'pairing' },
  },
  { kind: 'pairings', list: [{ code: '7K3QD-9XMPA', device: 'glasses-2', kind: 'glasses' }] },
  {
    ...{ kind: 'mandates', isFresh: false },
    list: [
      {
        ...{ id: 'm1', device: 'glasses-1', status: 'active', currency: 'CNY', until: 2e9 },
        perPaymentMax: '20000',
        windows: [
          { period: 'total', max: '200000', used: '31250', count: 200, usedCount: 4 },
          { period: 'day', max: '50000', used: '46500', count: 50, usedCount: 4 },
        ],
      },
    ],
  },
  {
    ...{ kind: 'statement', isFresh: true },
    rows: ['captured', 'refused', 'pending'].map((outcome, n) => ({
      ...{ id: `a${n}`, atMs: START_MS, action: n === 0 ? 'refund' : 'pay', device: 'glasses-1' },
      ...{ payee: n === 1 ? BAD : 'luckin-coffee', amount: { currency: 'CNY', minor: '1200' } },
      outcome,
    })),
  },
  {
    ...{ kind: 'payment', id: 'p1', device: 'glasses-1', payee: 'luckin-coffee' },
    ...{ amount: { currency: 'CNY', minor: '90000' }, state: 'refused' },
    reason: 'limit_per_payment',
  },
  {
    ...{ kind: 'payment', id: 'p2', device: 'glasses-1', payee: 'luckin-coffee' },
    ...{ amount: { currency: 'CNY', minor: '1200' }, state: 'paid' },
  },
  hop(1, 0, { from: 'person', to: 'device', what: 'sensed', text: BAD }),
  hop(2, 4, { from: 'device', to: 'person', what: 'asked' }),
  hop(3, 2_304, { from: 'person', to: 'device', what: 'answered', text: 'press' }),
  hop(4, 2_311, { from: 'device', to: 'device', what: 'stored' }),
  hop(5, 2_313, { from: 'device', to: 'broker', what: 'request', outcome: 'lost' }),
  hop(6, 2_413, { from: 'device', to: 'broker', what: 'request', outcome: 'again' }),
  hop(7, 2_417, { from: 'broker', to: 'bridge', what: 'request' }),
  hop(8, 2_425, { from: 'bridge', to: 'risk', what: 'risk' }),
  hop(9, 2_440, { from: 'bridge', to: 'ledger', what: 'money' }),
  hop(10, 2_455, { from: 'bridge', to: 'broker', what: 'receipt', outcome: 'captured' }),
  hop(11, 2_460, { from: 'device', to: 'person', what: 'told', outcome: 'paid' }),
  { kind: 'trouble', name: 'drop', on: true, share: 0.4 },
  { kind: 'trouble', name: 'slow', on: true, device: 'glasses-1' },
  TALLY,
  { kind: 'narration', by: 'lunch-rush', text: 'The link is cut', mood: 'scene' },
  { kind: 'narration', by: 'lunch-rush', text: `twice 0 ${BAD}`, mood: 'good', isEnd: true },
];

type Asked = Readonly<{ verb: string; body: Record<string, unknown> }>;

/** A host that keeps what it was asked, and tells what it is told to. */
async function serve() {
  let language: Language = 'en';
  const listeners = new Set<Listener>();
  const asked: Asked[] = [];
  const tell = (...events: readonly Event[]) => {
    const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    for (const { send } of listeners) send(text);
  };
  const json = (value: object): HttpReply => {
    return { status: 200, body: new TextEncoder().encode(JSON.stringify(value)) };
  };
  const server = await serveHttp({
    ...{ host: '127.0.0.1', port: 0, bytesMax: 40 * HTTP_BYTES_MAX },
    async answer({ path, body }) {
      const verb = /^\/v1\/ask\/(\w+)$/.exec(path)?.[1];
      if (verb === undefined) {
        const file = files.get(path === '/' ? 'page.html' : path.slice(1));
        const headers = { ...GATE_HEADERS };
        return file
          ? { status: 200, ...file, headers }
          : { status: 404, body: new Uint8Array(), headers };
      }
      const wanted = JSON.parse(new TextDecoder().decode(body)) as Asked['body'];
      if (verb !== 'tags') asked.push({ verb, body: wanted });
      if (verb === 'tags') return json({ tags: TAGS });
      if (verb === 'detail') return json(DETAIL);
      if (verb === 'language') {
        language = wanted['language'] as Language;
        tell({ kind: 'language', language });
      }
      return json({});
    },
    feed({ path }) {
      if (path !== '/v1/events') return undefined;
      return {
        type: 'text/event-stream',
        begin(listener) {
          listeners.add(listener);
          for (const event of beginning(language)) {
            listener.send(`data: ${JSON.stringify(event)}\n\n`);
          }
          return () => void listeners.delete(listener);
        },
      };
    },
  });
  stops.push(async () => {
    for (const { end } of listeners) end();
    await server.close();
  });
  return { url: `http://127.0.0.1:${server.port}/`, tell, asked, listeners };
}

const TAGS = (['order', 'payee', 'payer', 'foreign'] as const).map((kind) => {
  return { kind, uri: 'saytap://x', message: `0QE${kind === 'payer' ? 'P' : 'B'}` };
});
const DETAIL = {
  annotated: ['d2   -- tag 18', `  84 -- ${BAD}`],
  signature: { isValid: true, by: 'glasses-1' },
  decision: ['per payment: 12.00 of 200.00 yuan'],
  postings: [
    {
      from: 'acct-wang',
      to: 'luckin',
      amount: { currency: 'CNY', minor: '1200' },
      kind: 'capture',
    },
  ],
};

type Wish = Readonly<{ width: number; scheme: 'light' | 'dark' }>;

async function visit({ width, scheme }: Wish) {
  const host = await serve();
  const viewport = { width, height: width < 500 ? 844 : 800 };
  const look = { colorScheme: scheme, reducedMotion: 'reduce' } as const;
  const context = await browser.newContext({ viewport, ...look });
  stops.push(() => context.close());
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && problems.push(line.text()));
  page.on('request', (one) => !one.url().startsWith(host.url) && problems.push(one.url()));
  await page.goto(`${host.url}#secret`);
  await page.getByRole('button', { name: /Tap the temple/ }).waitFor();
  return { ...host, page, problems };
}

async function tellStory({ tell, page }: { tell: (...events: Event[]) => void; page: Page }) {
  tell(...STORY);
  await page.locator('.hop').nth(10).waitFor({ state: 'attached' });
  await page.locator('.short').waitFor();
}

test('the script is small', () => {
  const gzipped = gzipSync(files.get('simulator.js')!.body).length;
  console.log(`the page's script is ${(gzipped / 1000).toFixed(0)} kB gzipped`);
  expect(gzipped).toBeLessThan(150_000);
});

test.each([
  { language: 'en', width: 1280, scheme: 'light' },
  { language: 'zh', width: 1280, scheme: 'dark' },
  { language: 'en', width: 390, scheme: 'dark' },
  { language: 'zh', width: 390, scheme: 'light' },
  { language: 'en', width: 360, scheme: 'light' },
] as const)('everything at once, $language, $width pixels, $scheme', async (wish, ...rest) => {
  const [context] = rest as unknown as [{ skip: (why: string) => void }];
  if (part.missing !== undefined) return context.skip(part.missing);
  const visited = await visit(wish);
  const { page, problems } = visited;
  if (wish.language === 'zh') {
    await page.getByRole('button', { name: '中文' }).click();
    await page.getByRole('button', { name: /轻触镜腿/ }).waitFor();
  }
  await tellStory(visited);
  expect(await page.title()).toBe(
    wish.language === 'zh' ? '模拟环境 · saytap' : 'SIMULATED · saytap',
  );
  expect(await page.locator('.mark').isVisible()).toBe(true);
  expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0);
  expect(await faultsOf(page)).toEqual([]);
  const name = `page-${wish.language}-${wish.width}-${wish.scheme}`;
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  await page.locator('.hop').nth(6).click();
  await page.getByText('d2   -- tag 18').waitFor();
  expect(await faultsOf(page)).toEqual([]);
  if (pictures) await page.screenshot({ path: join(pictures, `${name}-detail.png`) });
  await page.keyboard.press('Escape');
  await expect.poll(() => page.locator('dialog').count()).toBe(0);
  expect(await page.locator('img').count(), 'what is text stays text').toBe(0);
  expect(problems).toEqual([]);
});

test('it can be used at once', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { page } = await visit({ width: 1280, scheme: 'light' });
  // From the first byte asked for to the first panel drawn, as the browser measured it.
  const ms = await page.evaluate<number>(
    `new Promise((done) => requestAnimationFrame(() => done(performance.now())))`,
  );
  const timing = await page.evaluate<number>(
    `performance.getEntriesByType('paint').at(-1)?.startTime ?? 0`,
  );
  console.log(
    `first drawn after ${timing.toFixed(0)} ms, seen to be usable at ${ms.toFixed(0)} ms`,
  );
  expect(timing).toBeLessThan(1_000);
});

test('sixty messages in a second leave the page free', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { page, tell } = await visit({ width: 1280, scheme: 'light' });
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')!.value;
  };
  const before = await busy();
  const SECONDS = 4;
  for (let n = 0; n < SECONDS * 60; n++) {
    const id = `s${n >> 4}`;
    if (n % 16 === 0) tell({ kind: 'payment', id, device: 'glasses-1', state: 'asking' });
    const what = { from: 'device', to: 'broker', what: 'request' } as const;
    tell({ ...hop((n % 16) + 1, n * 16, what), payment: id });
    if (n % 6 === 0) tell({ ...TALLY, asked: n, paid: n });
    await new Promise((done) => setTimeout(done, 1000 / 60));
  }
  await page.locator('[data-tally="asked"]', { hasText: '234' }).waitFor();
  // Of the thread's own time: what other programs take of the machine is not the page's.
  const share = ((await busy()) - before) / SECONDS;
  console.log(`60 messages/s keep the page's thread busy for ${(share * 100).toFixed(0)} %`);
  expect(share).toBeLessThan(0.6);
  expect(await page.locator('.payment').count()).toBe(15);
});

test('deeds go out as they were done', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const visited = await visit({ width: 1280, scheme: 'light' });
  const { page, asked } = visited;
  const sensed = () =>
    asked.filter(({ verb }) => verb === 'sense').map(({ body }) => body['sensed']);
  const last = (what: unknown) => expect.poll(() => sensed().at(-1)).toEqual(what);

  await page.getByRole('textbox', { name: 'Say something' }).fill('pay 3 yuan to Luckin Coffee');
  await page.keyboard.press('Enter');
  await last({ kind: 'utterance', text: 'pay 3 yuan to Luckin Coffee' });
  await page.getByRole('button', { name: /Tap the temple/ }).click();
  await last({ kind: 'press' });
  await page.getByRole('button', { name: /Tap the temple/ }).click({ delay: 900 });
  await last({ kind: 'utterance', text: 'cancel' });
  await page.getByRole('button', { name: 'Take off' }).click();
  await last({ kind: 'worn', how: 'off' });
  await page.getByRole('button', { name: 'Shop sticker' }).click();
  await last({ kind: 'tag', message: '0QEB' });
  await page.getByRole('button', { name: 'Payer’s tag' }).click();
  await last({ kind: 'tag', message: '0QEP' });
  expect(asked.at(-1)?.body['device'], "a payer's tag belongs on the kiosk").toBe('kiosk-1');
  await page
    .getByRole('button', { name: 'Foreign tag' })
    .dragTo(page.locator('[data-device="kiosk-1"] .bezel'));
  await last({ kind: 'tag', message: '0QEB' });
  expect(asked.at(-1)?.body['device']).toBe('kiosk-1');

  await page.getByRole('button', { name: 'Look at the kiosk' }).click();
  await page.getByText('The kiosk shows no code').waitFor();
  await tellStory(visited);
  await page.getByRole('group', { name: 'PIN' }).getByRole('button', { name: '2' }).click();
  await page.keyboard.type('468');
  await page.getByRole('button', { name: 'Enter', exact: true }).click();
  await last({ kind: 'pin', digits: '2468' });
  await page.locator('.order-code').dragTo(page.locator('[data-device="glasses-1"] .lens'));
  await expect.poll(() => sensed().at(-1)).toMatchObject({ kind: 'picture' });
  expect((sensed().at(-1) as { png: string }).png).toMatch(/^iVBORw0KGgo[\w-]+$/);

  const verbs = () => asked.filter(({ verb }) => verb !== 'sense');
  await page.getByRole('button', { name: 'Approve' }).click();
  await expect
    .poll(() => verbs().at(-1))
    .toEqual({ verb: 'approve', body: { code: '7K3QD-9XMPA' } });
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.locator('#sure').click();
  await expect.poll(() => verbs().at(-1)).toEqual({ verb: 'revoke', body: { mandate: 'm1' } });
  await page.getByRole('combobox', { name: 'Whose link' }).selectOption('glasses-1');
  await page.getByRole('button', { name: /^Slow/, pressed: true }).click();
  const off = { name: 'slow', on: false, device: 'glasses-1' };
  await expect.poll(() => verbs().at(-1)).toEqual({ verb: 'trouble', body: off });
  await page.getByRole('button', { name: /^Clock/, pressed: false }).click();
  const on = { name: 'clock_back', on: true, device: 'glasses-1' };
  await expect.poll(() => verbs().at(-1)).toEqual({ verb: 'trouble', body: on });
  await page.getByRole('button', { name: 'kill −9 ledger' }).click();
  await expect.poll(() => verbs().at(-1)).toEqual({ verb: 'kill', body: { name: 'ledger' } });
  await page.getByRole('button', { name: 'Play' }).click();
  await expect
    .poll(() => verbs().at(-1))
    .toEqual({ verb: 'scenario', body: { name: 'lunch-rush' } });
});

test('what may never happen is seen from afar, and a lost host is told of', async (context) => {
  if (part.missing !== undefined) context.skip(part.missing);
  const { page, tell, listeners } = await visit({ width: 1280, scheme: 'dark' });
  tell({ ...TALLY, lost: 1 });
  await page.locator('.tally .lost.wrong').waitFor();
  for (const { end } of [...listeners]) end();
  await page.getByText('The simulator does not answer').waitFor();
  await page.getByText('The simulator does not answer').waitFor({ state: 'hidden' });
  await page.locator('.tally .lost:not(.wrong)').waitFor();
});
