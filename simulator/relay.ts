/**
 * Stands between a bridge and one of its services: hands calls on, lets them be seen, and lets go
 * wrong what goes wrong between two real programs.
 *
 * It holds no secret and changes no byte: calls are signed by the bridge and read by the service,
 * so a call that is told twice is refused by the service itself, as it would be on a real wire.
 */
import { HTTP_BYTES_MAX, TROUBLE_OVER_MS } from '../src/limits.ts';
import type { Http, HttpQuestion, HttpReply, Timers } from '../src/platform.ts';
import type { CallFate } from './troubles.ts';

export type Relayed = Readonly<{
  service: 'risk' | 'ledger';
  path: string;
  way: 'asked' | 'answered';
  body: Uint8Array;
  status?: number;
  /** What befell it. */
  fate: CallFate;
}>;

/** An answer for a server: hands each call on to `url`; `patienceMs` is that of the bridge. */
export function createRelay(
  parts: Readonly<{
    service: 'risk' | 'ledger';
    url: () => string;
    patienceMs: number;
    http: Http;
    timers: Timers;
    fate: () => CallFate;
    see: (relayed: Relayed) => void;
  }>,
): (question: HttpQuestion) => Promise<HttpReply> {
  const { service, http, timers, patienceMs } = parts;

  return async ({ method, path, headers, body }) => {
    const fate = parts.fate();
    const see = (way: Relayed['way'], bytes: Uint8Array, status?: number) =>
      parts.see({
        ...{ service, path, way, body: bytes, fate },
        ...(status !== undefined && { status }),
      });
    see('asked', body);
    if (fate === 'refused' || (method !== 'GET' && method !== 'POST')) return 'drop';
    const given = Object.entries(headers).filter(([name]) => HANDED_ON.test(name));
    const call = {
      ...({ method, url: parts.url() + path, body } as const),
      headers: Object.fromEntries(given) as Record<string, string>,
      timeoutMs: patienceMs,
      answerBytesMax: HTTP_BYTES_MAX,
    };
    const answer = await http(call).catch(() => undefined);
    if (answer === undefined) return 'drop';
    // The service sees the same signed call again.
    if (fate === 'again') await http(call).catch(() => undefined);
    see('answered', answer.body, answer.status);
    if (fate === 'lost') return 'drop';
    if (fate === 'slow') {
      await new Promise<void>((done) => void timers.after(patienceMs + TROUBLE_OVER_MS, done));
    }
    return { status: answer.status, body: answer.body };
  };
}

const HANDED_ON = /^(content-type|saytap-[a-z]+)$/;
