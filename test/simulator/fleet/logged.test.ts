// What programs log is counted by event. Method: lines as programs write them, and worse ones.
import { expect, test } from 'vitest';
import { createLogged } from '../../../simulator/fleet/logged.ts';

test('each event once, the most frequent first, whatever its fields', () => {
  const logged = createLogged();
  logged.add('bridge', 'Error: out of memory');
  for (const why of ['a', 'b']) {
    logged.add('bridge', JSON.stringify({ level: 'error', event: 'risk does not answer', why }));
  }
  logged.add('ledger', JSON.stringify({ event: 7 }));
  expect(logged.counts()).toEqual([
    ['bridge: risk does not answer', 2],
    ['bridge: Error: out of memory', 1],
    ['ledger: {"event":7}', 1],
  ]);
});

test('a program that never says the same twice fills nothing', () => {
  const logged = createLogged();
  for (let at = 0; at < 1_000; at++) logged.add('bridge', `line ${at}`);
  expect(logged.counts()).toHaveLength(101);
  expect(logged.counts()[0]).toEqual(['bridge: other', 900]);
});
