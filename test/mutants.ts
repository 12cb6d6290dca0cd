/**
 * Planted mistakes: preloaded into a program (`node --import`), it rewrites sources while they are
 * loaded, so that a storm can show that it would notice them. The product knows nothing of it.
 *
 * SAYTAP_PLANT lists what to plant, of test/plantings.ts. A text that does not stand exactly once
 * in its file stops the program, and each planting is told on stderr: a mutant never silently
 * becomes the original.
 */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { PLANTINGS } from './plantings.ts';

for (const name of (process.env['SAYTAP_PLANT'] ?? '').split(', ').filter(Boolean)) {
  const planting = PLANTINGS[name];
  assert(planting, `there is nothing to plant called "${name}"`);
  for (const { file, from, to } of planting.edits) {
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
}

function textOf(source: unknown): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source as Uint8Array);
}
