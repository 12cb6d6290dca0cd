// The report and the screen of a run. Method: a run with figures that occur nowhere else, each of
// which must be found; and what a page must not contain if it is to load nothing.
import { describe, expect, test } from 'vitest';
import { type Whole, summaryOf } from '../../../simulator/fleet/figures.ts';
import { reportOf } from '../../../simulator/fleet/report.ts';
import type { Point } from '../../../simulator/fleet/tally.ts';
import { lineOf, screenOf } from '../../../simulator/fleet/view.ts';

const use = { cpu: 0.83, run: 0.71, queue: 0.13, disk: 0.05, rssKb: 207_000 };
const point = (atS: number): Point => ({
  ...{
    atS,
    seconds: 1,
    perSecond: 417,
    due: 417,
    sent: 416,
    ended: 415,
    ready: 4_321,
    waiting: 77,
  },
  ...{ p50Us: 13_700, p99Us: 61_900, p999Us: 82_100, maxUs: 99_300, loopMs: 11 },
  machine: { idle: 0.17, own: 0.52, others: 0.31 },
  uses: [
    { name: 'bridge', ...use },
    { name: '<devices>', ...use, run: 0.2 },
  ],
});
const totals: Whole['totals'] = {
  ...{ due: 52_345, sent: 52_344, ended: 52_343, ready: 4_321, waiting: 0, held: 0 },
  refused: new Map([['limit_amount', 19]]),
  counts: { paid: 52_324, pending: 3, verified: 52_346, bad: 0, resent: 23, broken: 0 },
};
const comparison = {
  ...{ twice: 0, unpaid: 0, refusedButMoved: 0, openMoved: 0, openUnmoved: 0 },
  ...{ foreign: 0, wrongAmounts: 0, examples: [] },
};
const run: Whole = {
  asked: {
    ...{
      devices: 4_321,
      rate: 417,
      shape: 'constant',
      arrivals: 'random',
      seconds: 61,
      warmUpS: 7,
    },
    ...{ workers: 2, verifyEach: 1, p99Ms: undefined, seed: 'seed-of-the-run' },
  },
  broker: 'mosquitto',
  points: [1, 2, 3].map(point),
  totals,
  ended: {
    ...{
      due: 52_345,
      sent: 52_344,
      inTime: 52_324,
      refused: 19,
      comparison,
      differences: 0,
      p99Ms: 62,
    },
    isAborted: false,
  },
  verdict: { twice: 0, lost: 0, waiting: 0, faults: [], exit: 'ok' },
  saturation: { what: 'nothing', program: '', atS: 0, perSecond: 0, says: 'Nothing was full.' },
  latencies: [
    [50, 14_100],
    [90, 33_300],
    [99, 62_600],
    [99.9, 88_800],
    [100, 120_400],
  ],
  lateness: [
    [50, 1_100],
    [100, 4_400],
  ],
  memory: { workerKb: 31.4, brokerKb: 1.6, bridgeKb: 2.7 },
  costs: [{ name: 'bridge', cpuUs: 371, mainUs: 333 }],
  machine: { processors: 2, model: 'A Processor', memoryMb: 7_777, node: 'v24.0.0' },
  atMs: Date.UTC(2026, 10, 20, 9, 30),
  logged: [['bridge: risk does not answer, refusing', 1_234]],
};

describe('the report', () => {
  const html = reportOf(run);

  test.each([
    ...['4,321', '417', '52,345', '52,344', '52,324', '19 (limit_amount 19)', '14.1 ms', '62.6 ms'],
    ...[
      '88.8 ms',
      '120 ms',
      '31.4 kB',
      '1.6 kB',
      '2.7 kB',
      'bridge 371',
      'A Processor',
      '7,777 MB',
    ],
    ...['seed-of-the-run', 'mosquitto', '2026-11-20 09:30 UTC', 'Nothing was full.'],
    ...['twice 0 · lost 0', 'SIMULATED', 'carried', 'bridge: risk does not answer', '1,234'],
  ])('holds %s', (text) => expect(html).toContain(text));

  test('draws every series', () => {
    const lines = [...html.matchAll(/<polyline/g)].length;
    const keys = [...html.matchAll(/class="key/g)].length;
    // Throughput 3, latency 4, percentiles 2, waiting 1, twice 2 processes, machine 3, loop 1.
    expect({ lines, keys }).toEqual({ lines: 18, keys: 16 });
  });

  test('loads nothing, runs nothing, and forbids both', () => {
    expect(html).not.toMatch(
      /<script|<link|<img|<iframe|<object|@import|url\(|\bon\w+=|javascript:/i,
    );
    expect(html).not.toMatch(/(src|href)=/i);
    expect(html).not.toMatch(/\w+:\/\//);
    expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
    expect(html).toContain('prefers-color-scheme: dark');
    expect(html).not.toContain('<devices>');
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('says that a run was ended, and what is wrong with one', () => {
    const faults = ['2 moved money twice'];
    const bad = reportOf({
      ...run,
      ended: { ...run.ended, isAborted: true },
      verdict: { twice: 2, lost: 0, waiting: 1, faults, exit: 'safety' },
    });
    expect(bad).toContain('Somebody ended this run');
    expect(bad).toContain('2 moved money twice');
    expect(bad).toContain('twice 2 · lost 0');
  });

  test('is a page also of a run without a single point', () => {
    const empty = reportOf({ ...run, points: [], latencies: [], lateness: [], costs: [] });
    expect(empty).toContain('Nothing to show.');
    expect(empty).not.toMatch(/NaN|undefined/);
  });
});

test('the summary says the same', () => {
  const lines = summaryOf(run).join('\n');
  for (const text of ['52,324', 'p99 62.6 ms', 'due to sent', '31.4 kB', 'refusing: 1,234 times']) {
    expect(lines).toContain(text);
  }
});

describe('the screen', () => {
  const scene = {
    ...{ stage: 'load', atS: 31, durationS: 68, devices: 4_321, totals, point: point(31) },
    all: { p50Us: 14_100, p99Us: 62_600, p999Us: 88_800, maxUs: 120_400 },
  };
  const plain = (text: string) => text;

  test('fits a terminal of 80 columns and 24 lines, and tells everything', () => {
    const lines = screenOf(scene, plain);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    const many = Array.from({ length: 9 }, (_, at) => ({ name: `p${at}`, ...use, run: at / 10 }));
    const crowded = screenOf({ ...scene, point: { ...point(31), uses: many } }, plain);
    expect(crowded.length).toBeLessThan(24);
    expect(crowded.filter((line) => /^p\d /.test(line))).toHaveLength(6);
    expect(crowded.some((line) => line.startsWith('p8'))).toBe(true);
    const all = lines.join('\n');
    for (const text of ['0:31 of 1:08', '417', '4,321 of 4,321', '61.9 ms', '120 ms', 'bridge']) {
      expect(all).toContain(text);
    }
    expect(all).toMatch(/bridge +83 % +89 % +13 % +5 % +202/);
  });

  test('marks what is full', () => {
    const full = { ...point(31), uses: [{ name: 'bridge', ...use, run: 0.8 }] };
    const lines = screenOf({ ...scene, point: full }, (text, code) => `<${code}>${text}`);
    expect(lines.some((line) => line.startsWith('<31>bridge'))).toBe(true);
  });

  test('is one line where there is no screen, also before the first interval', () => {
    expect(lineOf(scene)).toMatch(
      /31 s load · connected 4321\/4321 · due 417\/s.*fullest bridge 89 %/,
    );
    expect(lineOf({ ...scene, point: undefined })).toContain('due –/s');
  });
});
