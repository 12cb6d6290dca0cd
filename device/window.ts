/**
 * The page of a device's own screen, over HTTP on the machine that it runs on: its files, what is
 * shown as a feed, and what is done on it as a verb, all behind one gate (src/gate.ts).
 *
 * A page holds nothing: it is told everything at its beginning, and again when the device was put
 * together anew under another key. So a browser that is started again shows what is the case.
 */
import * as z from 'zod/mini';
import { PaymentError } from '../src/errors.ts';
import { type Gate, GATE_HEADERS } from '../src/gate.ts';
import { SCREENS_MAX, SCREEN_LOOK_MS } from '../src/limits.ts';
import type { Feed, HttpQuestion, HttpReply, Listener, Log, Timers } from '../src/platform.ts';
import type { Screen } from './surface/screen.ts';
import { type Touch, touchForm } from './touch.ts';
import type { View } from './view.ts';

type Hello = Extract<View, { kind: 'hello' }>;
type State = Extract<View, { kind: 'state' }>;

export type Window = Readonly<{
  answer: (question: HttpQuestion) => Promise<HttpReply>;
  /** The feed of what is shown; undefined for any other question, and for who may not ask. */
  feed: (question: HttpQuestion) => Feed | undefined;
  /** Ends every feed: what is said at the beginning has changed, or the program ends. */
  renew: () => void;
}>;

export function createWindow(
  parts: Readonly<{
    gate: Gate;
    /** A file of the page by its name. */
    pages: (name: string) => Promise<Readonly<{ body: Uint8Array; type: string }> | undefined>;
    screen: Screen;
    touch: (touch: Touch) => Promise<void>;
    hello: () => Hello;
    state: () => Omit<State, 'kind'>;
    timers: Timers;
    log: Log;
  }>,
): Window {
  const { gate, pages, screen, timers, log } = parts;
  const listeners = new Set<Listener>();

  function begin(listener: Listener): () => void {
    listeners.add(listener);
    let latest = '';
    const tell = (view: View) => listener.send(`data: ${JSON.stringify(view)}\n\n`);
    const tellState = () => {
      const state = parts.state();
      const now = JSON.stringify(state);
      if (now !== latest) tell({ kind: 'state', ...state });
      latest = now;
      cancel = timers.after(SCREEN_LOOK_MS, tellState);
    };
    let cancel = () => {};
    tell(parts.hello());
    tell({ kind: 'shown', ...screen.now() });
    tellState();
    const leave = screen.watch((numbered) => tell({ kind: 'shown', ...numbered }));
    return () => {
      listeners.delete(listener);
      leave();
      cancel();
    };
  }

  async function take(question: HttpQuestion): Promise<HttpReply> {
    const type = question.headers['content-type'] ?? '';
    if (question.method !== 'POST' || !/^application\/json\s*(;|$)/.test(type)) {
      return refusal(405, 'malformed', 'a POST of JSON');
    }
    const touch = z.safeParse(touchForm, jsonOf(question.body));
    if (!touch.success) return refusal(400, 'malformed', touch.error.issues[0]?.message ?? '');
    // What becomes of it is shown; nobody waits for it here.
    parts.touch(touch.data).catch((error: unknown) => {
      if (!(error instanceof Error)) throw error;
      const reason = error instanceof PaymentError ? error.reason : 'a fault of ours';
      log('warn', 'what was done on the screen failed', { reason, why: error.message });
    });
    return json(200, {});
  }

  return {
    async answer(question) {
      const { path, method } = question;
      if (!gate.isHere(question)) return refusal(403, 'role_forbidden', 'not by this name');
      const file = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
      if (file !== undefined) {
        if (method !== 'GET') return refusal(405, 'malformed', 'only GET');
        const found = await pages(file);
        if (found) return { status: 200, ...found, headers: GATE_HEADERS };
      }
      if (!gate.isOwn(question)) return refusal(403, 'role_forbidden', 'only the page of this run');
      if (path === FEED) return refusal(429, 'rate_limited', 'too many pages are open');
      if (path === '/v1/ask/touch') return take(question);
      return refusal(404, 'malformed', 'nothing is here');
    },
    feed(question) {
      const isAsked = question.path === FEED && question.method === 'GET';
      if (!isAsked || !gate.isOwn(question) || listeners.size >= SCREENS_MAX) return undefined;
      return { type: 'text/event-stream', headers: GATE_HEADERS, begin };
    },
    renew() {
      for (const { end } of listeners) end();
    },
  };
}

const FEED = '/v1/events';

const FILES: Readonly<Record<string, string>> = Object.freeze({
  '/': 'screen.html',
  '/screen.js': 'screen.js',
  '/style.css': 'style.css',
  '/icon.svg': 'icon.svg',
});

/** Undefined for what is no JSON, which is no form either. */
function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

function refusal(status: number, reason: string, why: string): HttpReply {
  return json(status, { reason, why });
}

function json(status: number, body: object): HttpReply {
  return { status, body: new TextEncoder().encode(JSON.stringify(body)), headers: GATE_HEADERS };
}
