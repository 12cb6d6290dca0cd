// Plots. Method: what is drawn is read back out of the SVG.
import { describe, expect, test } from 'vitest';
import { type Plot, escape, plotOf } from '../../../simulator/fleet/plot.ts';

const says = (value: number) => String(value);
const plot = (more: Partial<Plot>): Plot => ({
  ...{ title: 'T', about: 'what it shows', series: [{ name: 'one', points: [] }] },
  x: { title: 'x', scale: 'linear', says },
  y: { title: 'y', scale: 'linear', says },
  ...more,
});
const corners = (svg: string) =>
  [...svg.matchAll(/points="([^"]*)"/g)].map(([, path]) =>
    path!.split(' ').map((pair) => pair.split(',').map(Number)),
  );

test('a line goes from corner to corner of its axes', () => {
  const points = [
    [0, 0],
    [10, 100],
  ] as const;
  const svg = plotOf(plot({ series: [{ name: 'one', points }] }));
  expect(corners(svg)).toEqual([
    [
      [64, 240],
      [748, 8],
    ],
  ]);
  expect(svg).toContain('>100</text>');
  expect(svg).toContain('aria-label="what it shows"');
});

test('a logarithmic axis has a tick for each power, and leaves out what has no logarithm', () => {
  const points = [0, 1, 1_000, 1_000_000].map((value, at) => [at, value] as const);
  const y = { title: 'y', scale: 'log', says } as const;
  const svg = plotOf(plot({ y, series: [{ name: 'one', points }] }));
  const [line] = corners(svg);
  expect(line!.map(([, top]) => top)).toEqual([240, 124, 8]);
  for (const tick of ['1', '1000', '1000000']) expect(svg).toContain(`>${tick}</text>`);
});

test('of very many points the peaks are kept', () => {
  const points = Array.from({ length: 5_000 }, (_, at) => [at, at === 3_333 ? 9 : 1] as const);
  const [line] = corners(plotOf(plot({ series: [{ name: 'one', points }] })));
  expect(line!.length).toBeLessThanOrEqual(600);
  expect(Math.min(...line!.map(([, top]) => top!))).toBe(8);
});

describe('nothing breaks it', () => {
  test('no points', () => expect(plotOf(plot({}))).toContain('Nothing to show.'));
  test.each([NaN, Infinity])('%d', (value) => {
    const points = [[1, value] as const, [2, 5] as const];
    expect(plotOf(plot({ series: [{ name: 'one', points }] }))).not.toMatch(/NaN|Infinity/);
  });
  test('names are no markup', () => {
    const svg = plotOf(plot({ title: '<b>"', series: [{ name: 'a', points: [[1, 1]] }] }));
    expect(svg).toContain(escape('<b>"'));
    expect(svg).not.toContain('<b>');
  });
});
