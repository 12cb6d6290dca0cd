/**
 * Listens to a feed of events (text/event-stream) for as long as the page is open.
 *
 * Not EventSource: that can send no header, and a secret in an address ends up in histories and
 * logs. What was missed is not asked for, because every feed of ours begins with how things stand.
 */
import type { Ears } from '../page.ts';

/** Begins anew by itself whenever it was cut off, and when `anew` is called. */
export function listen(
  path: string,
  headers: Readonly<Record<string, string>>,
  ears: Ears,
): Readonly<{ anew: () => void }> {
  let cut = new AbortController();
  async function hear(): Promise<void> {
    cut = new AbortController();
    const { signal } = cut;
    const response = await fetch(path, { headers, redirect: 'error', signal });
    if (response.status === 401 || response.status === 403) return ears.lost('refused');
    if (!response.ok || !response.body) throw new Error(`answered ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    ears.begun();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error('cut off');
      const lines = (rest + value).split('\n');
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith('data:')) ears.event(line.slice(5));
    }
  }
  const begin = () => {
    void hear().catch(() => {
      if (cut.signal.aborted) return begin();
      ears.lost('away');
      setTimeout(begin, AGAIN_MS);
    });
  };
  begin();
  return { anew: () => cut.abort() };
}

const AGAIN_MS = 1_000;
