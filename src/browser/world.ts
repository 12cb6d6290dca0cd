/**
 * The outside world of a page: the bridge that served it, the browser's clock, store and address.
 * The pages' code gets it handed in, like every program here.
 */
import type { Reason } from '../errors.ts';
import type { Answer, World } from '../page.ts';

/** The browser that this runs in; verbs are asked below `path`, with these headers of ours. */
export function openWorld(
  path = '/v1/pages/',
  headers: () => Readonly<Record<string, string>> = () => ({ 'x-saytap': 'page' }),
): World {
  // A link that is opened in the tab of its own page changes only what stands behind #.
  addEventListener('hashchange', () => location.hash !== '' && location.reload());
  return Object.freeze({
    async ask(name: string, body: object = {}): Promise<Answer> {
      try {
        const response = await fetch(path + name, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers() },
          body: JSON.stringify(body),
          credentials: 'same-origin',
          redirect: 'error',
        });
        const value: unknown = await response.json();
        if (response.ok) return { ok: true, value };
        const { reason = 'unavailable', why = '' } = value as { reason?: Reason; why?: string };
        return { ok: false, reason, why };
      } catch (error) {
        return { ok: false, reason: 'unavailable', why: String(error) };
      }
    },
    nowS: () => Math.floor(Date.now() / 1000),
    after: (ms: number, run: () => void) => void setTimeout(run, ms),
    takeFragment() {
      const fragment = location.hash.slice(1);
      if (fragment !== '') history.replaceState(null, '', location.pathname);
      return fragment;
    },
    go: (path: string) => location.assign(path),
    remember(name: string, value: string) {
      try {
        localStorage.setItem(`saytap.${name}`, value);
      } catch {
        // A browser that remembers nothing asks again.
      }
    },
    recall(name: string) {
      try {
        return localStorage.getItem(`saytap.${name}`) ?? undefined;
      } catch {
        return undefined;
      }
    },
    offer(name: string, bytes: Uint8Array) {
      const link = document.createElement('a');
      link.download = name;
      link.href = URL.createObjectURL(new Blob([Uint8Array.from(bytes)]));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    },
    languages: navigator.languages,
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
}
