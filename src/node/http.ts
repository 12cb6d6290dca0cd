/**
 * The real HTTP port and server, over node:http and node:https.
 *
 * What a caller most needs to know about a failed call is whether the other side may have acted on
 * it, so `sent` is false only while no connection stood. A call is never repeated in here: whoever
 * owns the idempotency key decides that.
 */
import assert from 'node:assert/strict';
import {
  Agent as HttpAgent,
  createServer,
  request as requestHttp,
  STATUS_CODES,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import {
  Agent as HttpsAgent,
  createServer as createSecureServer,
  request as requestHttps,
} from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { OperatorError } from '../errors.ts';
import {
  FEED_BYTES_MAX,
  HTTP_CLIENT_CONNECTIONS_MAX,
  HTTP_CONNECTIONS_MAX,
  HTTP_IDLE_MS,
  HTTP_SERVER_IDLE_MS,
  HTTP_SLOW_MS,
  STOP_MS,
} from '../limits.ts';
import {
  type Feed,
  HttpFailure,
  type Http,
  type HttpAnswer,
  type HttpCall,
  type HttpQuestion,
  type HttpReply,
} from '../platform.ts';

/** A client with its own pool of kept-alive connections; `close` drops them. */
export function createHttp(): Readonly<{ http: Http; close: () => void }> {
  const options = {
    keepAlive: true,
    noDelay: true,
    maxSockets: HTTP_CLIENT_CONNECTIONS_MAX,
    maxFreeSockets: HTTP_CLIENT_CONNECTIONS_MAX,
    timeout: HTTP_IDLE_MS,
  };
  const plain = new HttpAgent(options);
  const secure = new HttpsAgent(options);
  return Object.freeze({
    http: (call: HttpCall) => exchange(call, plain, secure),
    close: () => {
      plain.destroy();
      secure.destroy();
    },
  });
}

/** A server's private key and its certificate, followed by those up to its authority; PEM. */
export type Certified = Readonly<{ key: string; certificate: string }>;

/** Where to listen, how much to read, and who answers. */
export type Served = Readonly<{
  host: string;
  /** 0 lets the system choose; the chosen one is returned. */
  port: number;
  /** A longer body is answered 413 and the connection closed. */
  bytesMax: number;
  /** How a person chooses another port, for the message about one in use. */
  portOption?: string;
  /** With it HTTPS is spoken, TLS 1.2 or later; without it HTTP. */
  tls?: Certified;
  /** Rejecting is a bug or a stopped program: answered 500. */
  answer: (question: HttpQuestion) => Promise<HttpReply>;
  /** Asked before `answer`: what goes on being told; undefined for any other question. */
  feed?: (question: HttpQuestion) => Feed | undefined;
}>;

export type HttpServer = Readonly<{
  port: number;
  /** New connections get this certificate from now on. Throws OperatorError `config`. */
  certify: (tls: Certified) => void;
  close: () => Promise<void>;
}>;

/**
 * Listens, and resolves once it does; rejects with OperatorError `address` when it cannot, `config`
 * when key and certificate are no pair. `close` lets the calls under way finish for STOP_MS and
 * then cuts them off.
 */
export async function serveHttp(served: Served): Promise<HttpServer> {
  const { tls } = served;
  const options = {
    noDelay: true,
    keepAliveTimeout: HTTP_SERVER_IDLE_MS,
    headersTimeout: HTTP_SLOW_MS,
    requestTimeout: HTTP_SLOW_MS,
    connectionsCheckingInterval: 1_000,
  };
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    void answerOne(served, request, response, () => server.listening);
  };
  const secure = tls
    ? certified(() =>
        createSecureServer(
          { ...options, ...contextOf(tls), handshakeTimeout: HTTP_SLOW_MS },
          handle,
        ),
      )
    : undefined;
  const server = secure ?? createServer(options, handle);
  server.maxConnections = HTTP_CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(addressError(served, error)));
    server.listen(served.port, served.host, resolve);
  });
  return Object.freeze({
    port: (server.address() as AddressInfo).port,
    certify: (renewed: Certified) => {
      assert(secure, 'only a server of HTTPS has a certificate');
      certified(() => secure.setSecureContext(contextOf(renewed)));
    },
    close: () =>
      new Promise<void>((resolve) => {
        const cut = setTimeout(() => server.closeAllConnections(), STOP_MS);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      }),
  });
}

function exchange(call: HttpCall, plain: HttpAgent, secure: HttpsAgent): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    let connected = false;
    let failed = false;

    function fail(message: string, cause?: unknown): void {
      if (failed) return;
      failed = true;
      clearTimeout(deadline);
      reject(new HttpFailure(message, connected, cause === undefined ? undefined : { cause }));
      request.destroy();
    }

    assert(/^https?:/.test(call.url), 'the configuration admits only http and https');
    const isSecure = call.url.startsWith('https:');
    const request = (isSecure ? requestHttps : requestHttp)(call.url, {
      method: call.method,
      headers: { ...call.headers, 'content-length': String(call.body.length) },
      agent: isSecure ? secure : plain,
      ...(isSecure && { minVersion: 'TLSv1.2' as const, ...(call.ca && { ca: call.ca }) }),
    });
    const deadline = setTimeout(
      () => fail(`no answer within ${call.timeoutMs} ms`),
      call.timeoutMs,
    );
    request.on('socket', (socket) => {
      // Anything after the connection stands may have reached the other side.
      if (!socket.connecting) connected = true;
      else socket.once(isSecure ? 'secureConnect' : 'connect', () => (connected = true));
    });
    request.on('error', (error) => fail(`call failed: ${error.message}`, error));
    request.on('response', (response) => {
      const parts: Uint8Array[] = [];
      let length = 0;
      response.on('data', (part: Uint8Array) => {
        length += part.length;
        if (length > call.answerBytesMax) fail(`answer exceeds ${call.answerBytesMax} bytes`);
        else parts.push(part);
      });
      response.on('error', (error) => fail(`answer broke off: ${error.message}`, error));
      response.on('close', () => {
        // A second answer on the wire breaks the connection after the first one was complete.
        if (!response.complete) return fail('answer broke off');
        clearTimeout(deadline);
        resolve(Object.freeze({ status: response.statusCode ?? 0, body: joined(parts, length) }));
      });
    });
    request.end(call.body);
  });
}

async function answerOne(
  served: Served,
  request: IncomingMessage,
  response: ServerResponse,
  isListening: () => boolean,
): Promise<void> {
  request.on('error', () => response.destroy()); // Cut off while sending: nobody to answer.
  response.on('error', () => response.destroy());
  try {
    const body = await readBody(request, served.bytesMax);
    if (body === undefined) {
      response.setHeader('connection', 'close');
      return send(response, { status: 413, body: text('too large'), type: 'text/plain' });
    }
    const question: HttpQuestion = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: singleHeaders(request),
      body,
      ...(request.socket.remoteAddress !== undefined && { address: request.socket.remoteAddress }),
    };
    const feed = served.feed?.(question);
    if (feed) return tell(response, feed);
    const reply = await served.answer(question);
    if (!isListening()) response.setHeader('connection', 'close');
    send(response, reply);
  } catch {
    send(response, { status: 500, body: text('internal error'), type: 'text/plain' });
  }
}

function send(response: ServerResponse, reply: HttpReply): void {
  if (response.destroyed) return;
  if (reply === 'drop') return void response.socket?.destroy();
  const type = reply.type ?? 'application/json';
  if (reply.twice) return sendTwice(response, reply, type);
  response.writeHead(reply.status, {
    'content-type': type,
    'content-length': String(reply.body.length),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(reply.headers as Record<string, string | string[]>),
  });
  response.end(reply.body);
}

function tell(response: ServerResponse, feed: Feed): void {
  if (response.destroyed) return;
  response.writeHead(200, {
    'content-type': feed.type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...feed.headers,
  });
  response.flushHeaders();
  const gone = feed.begin({
    send(text) {
      if (response.destroyed || response.writableEnded) return;
      response.write(text);
      if (response.writableLength > FEED_BYTES_MAX) response.destroy();
    },
    end: () => void response.end(),
  });
  response.once('close', gone);
}

/** Says nothing of closing, so that a client is tempted to use the connection again. */
function sendTwice(
  response: ServerResponse,
  reply: Exclude<HttpReply, 'drop'>,
  type: string,
): void {
  const head = text(
    `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n` +
      `content-type: ${type}\r\ncontent-length: ${reply.body.length}\r\n\r\n`,
  );
  const once = [head, reply.body];
  const socket = response.socket;
  if (socket === null) return;
  for (const part of [...once, ...once]) socket.write(part);
  socket.end();
}

function readBody(request: IncomingMessage, bytesMax: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let length = 0;
    request.on('data', (part: Uint8Array) => {
      length += part.length;
      if (length <= bytesMax) parts.push(part);
      else resolve(undefined);
    });
    request.on('end', () => resolve(joined(parts, length)));
    request.on('error', reject);
    request.on('close', () => reject(new Error('cut off')));
  });
}

/** Node joins repeated headers with commas or keeps the first; lists (cookies) are not ours. */
function singleHeaders(request: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(request.headers).filter((entry) => typeof entry[1] === 'string'),
  ) as Record<string, string>;
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  return new Uint8Array(Buffer.concat(parts, length));
}

function text(line: string): Uint8Array {
  return new TextEncoder().encode(line);
}

/** RFC 9325 §3.1.1: TLS 1.2 is the oldest that is still sound. */
function contextOf({ key, certificate }: Certified): SecureContextOptions {
  return { key, cert: certificate, minVersion: 'TLSv1.2' };
}

function certified<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `HTTPS cannot be spoken with this key and certificate: ${why}`;
    throw new OperatorError('config', message, { cause });
  }
}

function addressError(served: Served, error: NodeJS.ErrnoException): OperatorError {
  const other = `choose another port with ${served.portOption ?? 'listen.port'}`;
  const message =
    error.code === 'EADDRINUSE'
      ? `Port ${served.port} is in use: stop the other program or ${other}.`
      : error.code === 'EACCES'
        ? `Port ${served.port} needs more rights than this program has: ${other}.`
        : `Cannot listen on ${served.host} port ${served.port}: ${error.message}.`;
  return new OperatorError('address', message, { cause: error });
}
