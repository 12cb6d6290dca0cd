/**
 * Planted mistakes: preloaded into a program (`node --import`), it rewrites sources while they are
 * loaded, so that a storm can show that it would notice them. The product knows nothing of it.
 *
 * SAYTAP_PLANT lists what to plant. A text that does not stand exactly once in its file stops the
 * program, and each planting is told on stderr: a mutant never silently becomes the original.
 */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';

type Planting = Readonly<{ file: string; from: string; to: string }>;

const PLANTINGS: Readonly<Record<string, Planting>> = {
  /** A timeout is taken for "nothing happened": the next backend is tried at once. */
  'timeout is a no': {
    file: '/broker/attempt.ts',
    from: `return attempt.state === 'submitting' ? { state: 'unknown' } : undefined;`,
    to: `return { state: 'unsent' };`,
  },
  /** "Unknown order" is taken for "not executed and never will be". */
  'unseen is a no': {
    file: '/broker/attempt.ts',
    from: `if (state.kind !== 'done') return undefined;`,
    to: `if (state.kind === 'unseen') return { state: 'cancelled' };
         if (state.kind !== 'done') return undefined;`,
  },
  /** No mistake: the ledger as a backend that must be asked, since it knows no repeated call. */
  'resolve by query': {
    file: '/broker/backends/ledger.ts',
    from: `resolvesBy: 'replay',`,
    to: `resolvesBy: 'query',`,
  },
};

for (const name of (process.env['SAYTAP_PLANT'] ?? '').split(', ').filter(Boolean)) {
  const planting = PLANTINGS[name];
  assert(planting, `there is nothing to plant called "${name}"`);
  const { file, from, to } = planting;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!new URL(url).pathname.endsWith(file)) return loaded;
      const source = textOf(loaded.source);
      assert.equal(source.split(from).length, 2, `${file} has this not once: ${from}`);
      process.stderr.write(`planted: ${name}\n`);
      return { ...loaded, source: source.replace(from, () => to) };
    },
  });
}

function textOf(source: unknown): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source as Uint8Array);
}
