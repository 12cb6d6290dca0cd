/**
 * HTTP between the hosts of a world, with the answers and failures of src/node/http.ts.
 *
 * What a caller may conclude from a failure is what matters: `sent` is false only when the other
 * side surely saw nothing. A connection that stood for the call before is used again, as the real
 * pool does, so a cut way or a dead server may be met with `sent` although nothing arrived.
 */
import { utf8 } from '../src/bytes.ts';
import { OperatorError } from '../src/errors.ts';
import { HTTP_BYTES_MAX, HTTP_IDLE_MS, STOP_MS } from '../src/limits.ts';
import { HttpFailure, type Http, type HttpAnswer, type HttpCall } from '../src/platform.ts';
import type { HttpQuestion, HttpReply } from '../src/platform.ts';
import type { Attached, NetworkSight, Ways } from './ways.ts';

/** Answers the calls to a port of this host. Throws OperatorError `address` when it is taken. */
export type Serve = (
  port: number,
  answer: (question: HttpQuestion) => Promise<HttpReply>,
) => Readonly<{ close: () => Promise<void> }>;

export type Calls = Readonly<{
  httpFrom: (host: string, life: Attached) => Http;
  serveAt: (host: string, life: Attached) => Serve;
  end: (host: string, how: 'killed' | 'power cut') => void;
}>;

export function createCalls(ways: Ways): Calls {
  const { chance, after, nowMs, isOpen, latencyMs } = ways;
  /** By `host:port`. */
  const servers = new Map<string, Server>();
  /** When a connection from one host to a server was used last: `from host:port`. */
  const pool = new Map<string, number>();

  function httpFrom(host: string, life: Attached): Http {
    return (call: HttpCall) =>
      new Promise<HttpAnswer>((resolve, reject) => {
        let isSettled = false;
        const settle = (then: () => void) => {
          if (isSettled) return;
          isSettled = true;
          cancel();
          if (!life.isDead()) then();
        };
        let isSent = false;
        const fail = (why: string) => settle(() => reject(new HttpFailure(why, isSent)));
        const cancel = after(call.timeoutMs, () => fail(`no answer within ${call.timeoutMs} ms`));
        place(call, host, {
          sent: () => (isSent = true),
          answered(answer) {
            settle(() => {
              if (answer.body.length <= call.answerBytesMax) resolve(answer);
              else reject(new HttpFailure(`answer exceeds ${call.answerBytesMax} bytes`, true));
            });
          },
          broke: (why) => fail(`call failed: ${why}`),
        });
      });
  }

  /** Brings a call to its server and the answer back; what never gets there settles nothing. */
  function place(call: HttpCall, from: string, caller: Caller): void {
    const { hostname: to, port, pathname, search, protocol } = new URL(call.url);
    const at = `${to}:${port || (protocol === 'https:' ? '443' : '80')}`;
    const see = (fate: Extract<NetworkSight, { what: 'http' }>['fate']) =>
      ways.observe({ what: 'http', from, to, route: `${call.method} ${pathname}`, fate });
    const line = `${from} ${at}`;
    const isKept = nowMs() - (pool.get(line) ?? -Infinity) < HTTP_IDLE_MS;
    const isThere = isOpen(from, to) && ways.hasPower(to);
    const isBack = isOpen(to, from);
    const broke = (why: string, fate: 'lost' | 'refused') => {
      see(fate);
      pool.delete(line);
      after(latencyMs(to, from), () => caller.broke(why));
    };

    if (isThere && isBack && !servers.has(at)) {
      // The pool may not have noticed yet that the other side has closed.
      if (!isKept || !chance.happens(RACE_SHARE)) return broke('connect ECONNREFUSED', 'refused');
      caller.sent();
      return broke('socket hang up', 'refused');
    }
    if (!isKept && !(isThere && isBack)) {
      if (chance.happens(TOLD_SHARE)) return broke('connect EHOSTUNREACH', 'refused');
      return see('lost');
    }
    if (isKept) caller.sent();
    if (!isThere) return see('lost');

    const there = ways.passage(from, to);
    const connectMs = isKept ? 0 : latencyMs(from, to) + latencyMs(to, from);
    if (!isKept) after(connectMs, caller.sent);
    if (there.isLost) {
      see('lost');
      if (chance.happens(TOLD_SHARE)) after(connectMs, () => caller.broke('socket hang up'));
      return;
    }
    see(there.laterMs === undefined ? 'delivered' : 'delayed');
    const takesMs = connectMs + latencyMs(from, to) + (there.laterMs ?? 0);
    after(takesMs, ask);
    if (there.againMs !== undefined) {
      see('repeated');
      after(takesMs + there.againMs, ask);
    }

    function ask(): void {
      if (!isOpen(from, to)) return see('lost');
      const server = servers.get(at);
      if (!server) return broke('read ECONNRESET', 'lost');
      pool.set(line, nowMs());
      const question: HttpQuestion = {
        method: call.method,
        path: pathname + search,
        headers: Object.freeze({ ...lowered(call.headers), host: at }),
        body: Uint8Array.from(call.body),
        address: from,
      };
      const running: Running = { broke: (why) => broke(why, 'lost') };
      server.running.add(running);
      void answerOf(server, question).then((reply) => {
        if (!server.running.delete(running) || server.life.isDead()) return;
        server.idle();
        const back = ways.passage(to, from);
        if (reply === 'drop') return broke('socket hang up', 'lost');
        if (back.isLost && chance.happens(TOLD_SHARE)) return broke('socket hang up', 'lost');
        if (back.isLost || !isOpen(to, from)) return see('lost');
        const answer = Object.freeze({ status: reply.status, body: Uint8Array.from(reply.body) });
        after(latencyMs(to, from) + (back.laterMs ?? 0), () => caller.answered(answer));
      });
    }
  }

  function serveAt(host: string, life: Attached): Serve {
    return (port, answer) => {
      const at = `${host}:${port}`;
      if (servers.has(at)) {
        const line = `Port ${port} is in use: stop the other program or choose another port.`;
        throw new OperatorError('address', line);
      }
      const server: Server = { life, answer, running: new Set(), idle: () => {} };
      if (!life.isDead()) servers.set(at, server);
      return Object.freeze({
        async close(): Promise<void> {
          if (servers.get(at) === server) servers.delete(at);
          if (server.running.size > 0) {
            await new Promise<void>((resolve) => {
              const cancel = after(STOP_MS, resolve);
              server.idle = () => {
                if (server.running.size > 0) return;
                cancel();
                resolve();
              };
            });
          }
          if (life.isDead()) await new Promise(() => {}); // It never hears of it.
          for (const { broke } of server.running) broke('socket hang up');
          server.running.clear();
        },
      });
    };
  }

  return Object.freeze({
    httpFrom,
    serveAt,
    end(host: string, how: 'killed' | 'power cut') {
      for (const line of pool.keys()) if (line.startsWith(`${host} `)) pool.delete(line);
      for (const [at, { running }] of servers) {
        if (!at.startsWith(`${host}:`)) continue;
        servers.delete(at);
        if (how === 'killed') for (const { broke } of running) broke('socket hang up');
        running.clear();
      }
    },
  });
}

/** What happens to a call, as its caller's end of the connection sees it. */
type Caller = Readonly<{
  /** From now on the other side may have seen it. */
  sent: () => void;
  answered: (answer: HttpAnswer) => void;
  broke: (why: string) => void;
}>;

type Running = Readonly<{ broke: (why: string) => void }>;

type Server = {
  readonly life: Attached;
  readonly answer: (question: HttpQuestion) => Promise<HttpReply>;
  readonly running: Set<Running>;
  /** Called whenever one more question is answered. */
  idle: () => void;
};

/** Of failures on the way, those that the caller is told of; the others last until its patience. */
const TOLD_SHARE = 0.5;
const RACE_SHARE = 0.2;

async function answerOf(server: Server, question: HttpQuestion): Promise<HttpReply> {
  if (question.body.length > HTTP_BYTES_MAX) return { status: 413, body: utf8('too large') };
  try {
    return await server.answer(question);
  } catch {
    return { status: 500, body: utf8('internal error') };
  }
}

function lowered(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
}
