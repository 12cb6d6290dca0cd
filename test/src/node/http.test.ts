/** The real HTTP port against real sockets. */
import { createServer, connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, test, vi } from 'vitest';
import { EXITS } from '../../../src/errors.ts';
import { FEED_BYTES_MAX } from '../../../src/limits.ts';
import { type Certified, createHttp, serveHttp, type Served } from '../../../src/node/http.ts';
import {
  type Feed,
  HttpFailure,
  type HttpCall,
  type HttpReply,
  type Listener,
} from '../../../src/platform.ts';
import { ELSEWHERE, LOCAL } from '../../certificates.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);

function client() {
  const { http, close } = createHttp();
  closing.push(close);
  return (url: string, call: Partial<HttpCall> = {}) =>
    http({
      method: 'POST',
      url,
      headers: {},
      body: bytes('hello'),
      timeoutMs: 2_000,
      answerBytesMax: 1_000,
      ...call,
    });
}

async function server(answer: Served['answer'], bytesMax = 100) {
  const { port, close } = await serveHttp({ host: '127.0.0.1', port: 0, bytesMax, answer });
  closing.push(close);
  return { port, url: `http://127.0.0.1:${port}` };
}

/** A server below HTTP, to do what no HTTP server does. */
async function rawServer(accept: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const raw = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    raw.close();
  });
  return `http://127.0.0.1:${(raw.address() as { port: number }).port}`;
}

async function failure(promise: Promise<unknown>): Promise<HttpFailure> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(HttpFailure);
  return error as HttpFailure;
}

test('a question arrives whole and its answer comes back whole', async () => {
  const { url } = await server(async (question) => ({
    status: 201,
    body: bytes(
      JSON.stringify([
        question.method,
        question.path,
        question.headers['saytap-mac'],
        text(question.body),
      ]),
    ),
  }));
  const call = client();
  for (let n = 0; n < 3; n++) {
    const answer = await call(`${url}/v1/x?y=%20z`, { headers: { 'saytap-mac': 'ab' } });
    expect(answer.status).toBe(201);
    expect(JSON.parse(text(answer.body))).toEqual(['POST', '/v1/x?y=%20z', 'ab', 'hello']);
  }
  const got = await call(`${url}/`, { method: 'GET', body: new Uint8Array() });
  expect(JSON.parse(text(got.body))).toEqual(['GET', '/', null, '']);
});

test('nobody listening, and no such name, is certainly not sent', async () => {
  const { port, close } = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: 1,
    answer: async () => 'drop',
  });
  await close();
  const call = client();
  expect((await failure(call(`http://127.0.0.1:${port}/`))).sent).toBe(false);
  expect((await failure(call('http://no-such-host.invalid/'))).sent).toBe(false);
});

test('a dropped connection, silence, half an answer and noise count as sent', async () => {
  const call = client();
  const { url } = await server(async () => 'drop');
  expect((await failure(call(url))).sent).toBe(true);

  const silent = await rawServer(() => {});
  const late = await failure(call(silent, { timeoutMs: 50 }));
  expect(late.sent).toBe(true);
  expect(late.message).toBe('no answer within 50 ms');

  const answers = [
    'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel',
    'this is not HTTP at all\r\n\r\n',
  ];
  for (const answer of answers) {
    const broken = await rawServer((socket) => socket.once('data', () => socket.end(answer)));
    expect((await failure(call(broken))).sent, answer).toBe(true);
  }
});

test('an answer above the limit is refused', async () => {
  const { url } = await server(async () => ({ status: 200, body: new Uint8Array(1_001) }));
  const error = await failure(client()(url));
  expect(error.message).toBe('answer exceeds 1000 bytes');
  expect(error.sent).toBe(true);
});

test('a body above the limit is answered 413 and never handed on', async () => {
  let asked = 0;
  const { url } = await server(async () => {
    asked++;
    return { status: 200, body: new Uint8Array() };
  });
  const answer = await client()(url, { body: new Uint8Array(101) });
  expect(answer.status).toBe(413);
  expect(asked).toBe(0);
  expect((await client()(url, { body: new Uint8Array(100) })).status).toBe(200);
  expect(asked).toBe(1);
});

test('the client survives an answer that stands twice on the wire, many times over', async () => {
  let count = 0;
  const { url } = await server(async (question): Promise<HttpReply> => {
    const twice = count++ % 2 === 0 ? { twice: true as const } : {};
    return { status: 200, body: question.body, ...twice };
  });
  const call = client();
  let whole = 0;
  for (let n = 0; n < 60; n++) {
    const outcome = await call(url, { body: bytes(`question ${n}`) }).then(
      ({ body }) => text(body),
      (error: unknown) => {
        expect(error).toBeInstanceOf(HttpFailure);
        return 'failed';
      },
    );
    if (outcome !== 'failed') {
      expect(outcome).toBe(`question ${n}`);
      whole++;
    }
  }
  expect(whole).toBeGreaterThan(29);
});

test('an answer that throws is 500 without its reason', async () => {
  const { url } = await server(async () => {
    throw new Error('secret detail');
  });
  const answer = await client()(url);
  expect(answer.status).toBe(500);
  expect(text(answer.body)).toBe('internal error');
});

test('a port in use is one line that says what to do', async () => {
  const { port } = await server(async () => 'drop');
  const second = serveHttp({
    host: '127.0.0.1',
    port,
    bytesMax: 1,
    portOption: '--port',
    answer: async () => 'drop',
  });
  await expect(second).rejects.toMatchObject({
    name: 'OperatorError',
    exit: EXITS.address,
    message: `Port ${port} is in use: stop the other program or choose another port with --port.`,
  });
});

test('closing lets the call under way finish, and takes no new one', async () => {
  let finish: ((reply: HttpReply) => void) | undefined;
  const { port, close } = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: 100,
    answer: () => new Promise((resolve) => (finish = resolve)),
  });
  const call = client();
  const pending = call(`http://127.0.0.1:${port}/`);
  await expect.poll(() => finish).toBeDefined();
  const startMs = performance.now();
  const closed = close();
  expect((await failure(call(`http://127.0.0.1:${port}/`))).sent).toBe(false);
  finish?.({ status: 200, body: bytes('done') });
  expect(text((await pending).body)).toBe('done');
  await closed;
  expect(performance.now() - startMs).toBeLessThan(1_000);
});

test('a caller that goes away in the middle does no harm', async () => {
  const { port, url } = await server(async () => ({ status: 200, body: bytes('ok') }));
  for (const part of [
    'POST / HT',
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhalf',
  ]) {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    socket.write(part);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
  }
  expect((await client()(url)).status).toBe(200);
});

// ── TLS ──────────────────────────────────────────────────────────────────────────────────────

async function serveTls(tls: Certified, reply: Partial<Exclude<HttpReply, 'drop'>> = {}) {
  const asked: (string | undefined)[] = [];
  const server = await serveHttp({
    ...{ host: '127.0.0.1', port: 0, bytesMax: 100, tls },
    answer(question) {
      asked.push(question.address);
      return Promise.resolve({ status: 200, body: bytes('hello'), ...reply });
    },
  });
  closing.push(server.close);
  return { server, asked, url: `https://127.0.0.1:${server.port}` };
}

function askTls(url: string, ca?: string) {
  const { http, close } = createHttp();
  closing.push(close);
  return http({
    ...{ method: 'POST', url, headers: {}, body: bytes('?'), timeoutMs: 10_000 },
    answerBytesMax: 1_000,
    ...(ca !== undefined && { ca }),
  });
}

test("a server is believed under the caller's authority, and hears who asks", async () => {
  const [tls] = LOCAL;
  const { url, asked } = await serveTls(tls);
  expect((await askTls(url, tls.certificate)).status).toBe(200);
  expect(asked).toEqual(['127.0.0.1']);
});

test('under no authority, or another one, nothing is sent', async () => {
  const { url, asked } = await serveTls(LOCAL[0]);
  for (const ca of [undefined, LOCAL[1].certificate]) {
    expect((await failure(askTls(url, ca))).sent).toBe(false);
  }
  expect(asked).toEqual([]);
});

test('a certificate for another host is not believed', async () => {
  const tls = ELSEWHERE;
  const { url, asked } = await serveTls(tls);
  expect((await failure(askTls(url, tls.certificate))).sent).toBe(false);
  expect(asked).toEqual([]);
});

test('new connections get a renewed certificate', async () => {
  const [first, second] = LOCAL;
  const { server, url } = await serveTls(first);
  server.certify(second);
  expect((await askTls(url, second.certificate)).status).toBe(200);
  expect((await failure(askTls(url, first.certificate))).sent).toBe(false);
});

test('TLS 1.1 is refused', async () => {
  const [tls] = LOCAL;
  const { server } = await serveTls(tls);
  const told = await new Promise((done) => {
    const socket = connectTls({
      ...{ port: server.port, host: '127.0.0.1', ca: tls.certificate },
      ...({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' } as const),
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    socket.on('secureConnect', () => done('connected'));
    socket.on('error', () => done('refused'));
  });
  expect(told).toBe('refused');
});

test('a key that is not the certificate’s is told as a fault of the configuration', async () => {
  const [one, other] = LOCAL;
  const mixed = { key: one.key, certificate: other.certificate };
  await expect(serveTls(mixed)).rejects.toMatchObject({
    name: 'OperatorError',
    exit: EXITS.config,
  });
});

test('a reply sets headers of its own, also several cookies', async () => {
  const [tls] = LOCAL;
  const headers = { 'set-cookie': ['a=1; Secure', 'b=2; Secure'], 'cache-control': 'max-age=60' };
  const { server } = await serveTls(tls, { headers });
  const got = await new Promise<string>((done) => {
    const socket = connectTls({ port: server.port, host: '127.0.0.1', ca: tls.certificate });
    let text = '';
    socket.on('data', (part: Buffer) => (text += part.toString()));
    socket.on('end', () => done(text));
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  });
  expect(got.match(/^set-cookie: .*$/gim)).toEqual([
    'set-cookie: a=1; Secure',
    'set-cookie: b=2; Secure',
  ]);
  expect(got).toContain('cache-control: max-age=60');
  expect(got).not.toContain('no-store');
});

test('a feed goes on being told until either side ends it', async () => {
  const gone = vi.fn();
  let listener: Listener | undefined;
  const feed: Feed = {
    type: 'text/event-stream',
    headers: { 'x-frame-options': 'DENY' },
    begin(one) {
      listener = one;
      one.send('data: 1\n\n');
      return gone;
    },
  };
  const { port, close } = await serveHttp({
    ...{ host: '127.0.0.1', port: 0, bytesMax: 100 },
    answer: async () => ({ status: 404, body: bytes('') }),
    feed: ({ path }) => (path === '/feed' ? feed : undefined),
  });
  closing.push(close);
  const answer = await fetch(`http://127.0.0.1:${port}/feed`);
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
  });
  const reader = answer.body!.getReader();
  expect(text((await reader.read()).value!)).toBe('data: 1\n\n');
  listener!.send('data: 2\n\n');
  expect(text((await reader.read()).value!)).toBe('data: 2\n\n');
  expect(gone).not.toHaveBeenCalled();
  listener!.end();
  expect((await reader.read()).done).toBe(true);
  await expect.poll(() => gone.mock.calls.length).toBe(1);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
});

test('who reads a feed too slowly is cut off', async () => {
  const gone = vi.fn();
  const { port, close } = await serveHttp({
    ...{ host: '127.0.0.1', port: 0, bytesMax: 100 },
    answer: async () => 'drop',
    feed: () => ({
      type: 'text/event-stream',
      begin({ send }) {
        const piece = 'x'.repeat(FEED_BYTES_MAX / 4);
        // What the two kernels hold comes on top of it.
        const more = setInterval(() => send(piece), 5);
        return () => {
          clearInterval(more);
          gone();
        };
      },
    }),
  });
  closing.push(close);
  const socket = connect(port, '127.0.0.1');
  closing.push(() => socket.destroy());
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await expect.poll(() => gone.mock.calls.length, { timeout: 5_000 }).toBe(1);
});
