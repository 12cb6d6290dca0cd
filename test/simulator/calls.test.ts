/** Calls of a world: what a caller may conclude is what he may with the real client. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { createNetwork } from '../../simulator/network.ts';
import { createTimeline } from '../../simulator/time.ts';
import type { Weather } from '../../simulator/ways.ts';
import { utf8 } from '../../src/bytes.ts';
import { OperatorError } from '../../src/errors.ts';
import { HTTP_BYTES_MAX, HTTP_IDLE_MS } from '../../src/limits.ts';
import { createHttp, serveHttp } from '../../src/node/http.ts';
import { timers } from '../../src/node/platform.ts';
import {
  HttpFailure,
  type Http,
  type HttpCall,
  type HttpQuestion,
  type HttpReply,
} from '../../src/platform.ts';

const answer = (text: string, more?: object): HttpReply => ({
  status: 200,
  body: utf8(text),
  ...more,
});

const callTo = (path: string, more?: Partial<HttpCall>): HttpCall => ({
  method: 'POST',
  url: `http://bank:7300${path}`,
  headers: { 'X-Name': 'value' },
  body: utf8('question'),
  timeoutMs: 2_000,
  answerBytesMax: 100,
  ...more,
});

/** What came of a call: a status with its text, or whether it was surely not sent, and why. */
async function fateOf(http: Http, call: HttpCall): Promise<string> {
  try {
    const { status, body } = await http(call);
    return `${status} ${new TextDecoder().decode(body)}`;
  } catch (error) {
    if (!(error instanceof HttpFailure)) throw error;
    return error.sent ? 'sent' : 'not sent';
  }
}

/** How the server of both sites answers. */
async function bank(question: HttpQuestion): Promise<HttpReply> {
  const { method, path, body, headers } = question;
  switch (path.split('?')[0]) {
    case '/echo': {
      const text = new TextDecoder().decode(body);
      return answer(`${method} ${path} ${headers['x-name']} ${text}`);
    }
    case '/drop':
      return 'drop';
    case '/twice':
      return answer('twice', { twice: true });
    case '/long':
      return answer('x'.repeat(101));
    case '/never':
      return new Promise(() => {});
    default:
      throw new Error('a bug');
  }
}

function createSite(seed = 'calls', serves = bank) {
  const timeline = createTimeline(timers.soon);
  const network = createNetwork({ chance: createChance(seed), timeline });
  const dead = new Set<string>();
  const host = (name: string) => {
    dead.delete(name);
    return network.attach(name, {
      isDead: () => dead.has(name),
      callback:
        (run) =>
        (...given) => {
          if (!dead.has(name)) run(...given);
        },
    });
  };
  const http = host('shop').http;
  let questions = 0;
  const server = host('bank').serve(7300, (question) => {
    questions++;
    return serves(question);
  });
  /** Begins a call; what is returned tells its fate once it has one. */
  function begin(call: HttpCall): () => string | undefined {
    let fate: string | undefined;
    void fateOf(http, call).then((told) => (fate = told));
    return () => fate;
  }
  return {
    begin,
    /** Lets time go on until the call is settled. */
    async ask(call: HttpCall): Promise<string | undefined> {
      const fate = begin(call);
      for (let ms = 0; fate() === undefined && ms < 10_000; ms += 10) {
        await timeline.run(timeline.nowMs() + 10);
      }
      return fate();
    },
    network,
    host,
    server,
    asked: () => questions,
    end(name: string, how: 'killed' | 'power cut') {
      dead.add(name);
      network.end(name, how);
    },
    async wait(ms: number) {
      await timeline.settle();
      await timeline.run(timeline.nowMs() + ms);
    },
  };
}

const PATHS = ['/echo?a=1&b=%20', '/drop', '/twice', '/long', '/never', '/bug'];

test('each kind of answer is what it is with the real client and server', async () => {
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: HTTP_BYTES_MAX,
    answer: bank,
  });
  const { http, close } = createHttp();
  onTestFinished(async () => {
    close();
    await server.close();
  });
  const calls = [
    ...PATHS.map((path) => callTo(path, { timeoutMs: path === '/never' ? 200 : 20_000 })),
    callTo('/echo', { body: new Uint8Array(HTTP_BYTES_MAX + 1) }),
    callTo('/echo', { method: 'GET', body: new Uint8Array() }),
  ];
  const real: string[] = [];
  for (const call of calls) {
    const url = call.url.replace('bank:7300', `127.0.0.1:${server.port}`);
    real.push(await fateOf(http, { ...call, url }));
  }
  const site = createSite();
  const found: (string | undefined)[] = [];
  for (const call of calls) found.push(await site.ask(call));
  expect(found).toEqual(real);
});

test('what certainly nobody saw is told so, and nothing else is', async () => {
  const site = createSite();
  await site.server.close();
  expect(await site.ask(callTo('/echo'))).toBe('not sent');
  site.end('bank', 'killed');
  expect(await site.ask(callTo('/echo'))).toBe('not sent');
  site.end('bank', 'power cut');
  expect(await site.ask(callTo('/echo'))).toBe('not sent');
  expect(await site.ask(callTo('/echo', { url: 'http://nobody:1/' }))).toBe('not sent');
  expect(site.asked()).toBe(0);
});

describe('a way that is cut', () => {
  const cuts: readonly Weather[] = [
    { trouble: 'cut', hosts: ['bank'] },
    { trouble: 'half-open', way: 'up', hosts: ['bank'] },
    { trouble: 'half-open', way: 'down', hosts: ['bank'] },
  ];

  test.each(cuts)('means for a new connection that nothing was sent: %j', async (weather) => {
    const site = createSite();
    const heal = site.network.strike(weather);
    expect(await site.ask(callTo('/echo'))).toBe('not sent');
    expect(site.asked()).toBe(0);
    heal();
    expect(await site.ask(callTo('/echo'))).toMatch(/^200/);
  });

  test.each(cuts)('and for one that stood before, that nobody knows: %j', async (weather) => {
    const site = createSite();
    expect(await site.ask(callTo('/echo'))).toMatch(/^200/);
    const heal = site.network.strike(weather);
    expect(await site.ask(callTo('/echo'))).toBe('sent');
    // Its answers are lost, or the questions.
    expect(site.asked()).toBe('way' in weather && weather.way === 'up' ? 2 : 1);
    await site.wait(HTTP_IDLE_MS);
    expect(await site.ask(callTo('/echo'))).toBe('not sent');
    heal();
  });
});

test('lost calls were carried out or not, and the caller cannot tell', async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const site = createSite(String(seed));
    site.network.strike({ trouble: 'lose', share: 0.6 });
    seen.add(`${(await site.ask(callTo('/echo')))?.slice(0, 4)} ${site.asked()}`);
  }
  expect([...seen].sort()).toEqual(['200  1', 'sent 0', 'sent 1']);
});

test('a repeated call is carried out twice and answered once', async () => {
  const site = createSite();
  site.network.strike({ trouble: 'repeat', share: 1, ms: 1_000 });
  expect(await site.ask(callTo('/echo'))).toMatch(/^200/);
  await site.wait(2_000);
  expect(site.asked()).toBe(2);
});

test('a late answer is no answer, and late calls pass each other', async () => {
  const order: string[] = [];
  const site = createSite('late', async ({ path }) => {
    order.push(path);
    return answer('late');
  });
  site.network.strike({ trouble: 'delay', share: 0.8, ms: 3_000 });
  const paths = Array.from({ length: 20 }, (_, at) => `/${String(at).padStart(2, '0')}`);
  const fates = paths.map((path) => site.begin(callTo(path)));
  await site.wait(6_000);
  expect(new Set(fates.map((fate) => fate()))).toEqual(new Set(['200 late', 'sent']));
  expect(order).toHaveLength(20);
  expect(order).not.toEqual([...order].sort());
});

test('a server that dies breaks what it was asked; without power it says nothing', async () => {
  for (const how of ['killed', 'power cut'] as const) {
    const site = createSite('dies', () => new Promise(() => {}));
    const fate = site.begin(callTo('/echo'));
    await site.wait(300);
    expect(site.asked()).toBe(1);
    site.end('bank', how);
    await site.wait(300);
    expect(fate()).toBe(how === 'killed' ? 'sent' : undefined);
    await site.wait(2_000);
    expect(fate()).toBe('sent');
  }
});

test('a caller that is dead hears nothing', async () => {
  const site = createSite();
  const fate = site.begin(callTo('/echo'));
  site.end('shop', 'killed');
  await site.wait(12_000);
  expect(fate()).toBeUndefined();
});

test('a port has one server; closing it waits for what it is asked', async () => {
  let reply = (_: HttpReply) => {};
  const site = createSite('close', () => new Promise((resolve) => (reply = resolve)));
  const again = () => site.host('bank').serve(7300, bank);
  expect(again).toThrow(OperatorError);
  const fate = site.begin(callTo('/echo'));
  await site.wait(300);
  let isClosed = false;
  void site.server.close().then(() => (isClosed = true));
  await site.wait(300);
  expect(isClosed).toBe(false);
  reply(answer('done'));
  await site.wait(300);
  expect([fate(), isClosed]).toEqual(['200 done', true]);
  again();
});
