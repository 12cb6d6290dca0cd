/**
 * Line plots as SVG that stands in a page: no script, no font, no colour of its own. Classes name
 * the series, and the page's style says what they look like in light and in dark.
 */
export type Series = Readonly<{
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}>;

export type Axis = Readonly<{
  title: string;
  /** `log` leaves out what is not above zero. */
  scale: 'linear' | 'log';
  /** Where it ends; without it at the largest value. */
  max?: number;
  /** Values with a line and a word; without it some round ones. */
  ticks?: readonly number[];
  says: (value: number) => string;
  /** One value with a line and words of its own. */
  mark?: readonly [value: number, says: string];
}>;

export type Plot = Readonly<{
  title: string;
  /** What is to be seen, for whoever cannot look at it. */
  about: string;
  x: Axis;
  y: Axis;
  series: readonly Series[];
}>;

const WIDTH = 760;
const HEIGHT = 280;
const LEFT = 64;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 40;
/** Points of one line: more would be closer than pixels. */
const POINTS_MAX = 600;

/** A plot with its legend, as a `figure`. */
export function plotOf({ title, about, x, y, series }: Plot): string {
  const all = series.flatMap(({ points }) => points).filter(([, value]) => isShown(y, value));
  if (all.length === 0) {
    return `<figure><figcaption>${escape(title)}</figcaption><p>Nothing to show.</p></figure>`;
  }
  const xs = scaleOf(
    x,
    all.map(([value]) => value),
  );
  const ys = scaleOf(
    y,
    all.map(([, value]) => value),
  );
  const left = (value: number) => LEFT + xs.at(value) * (WIDTH - LEFT - RIGHT);
  const top = (value: number) => HEIGHT - BOTTOM - ys.at(value) * (HEIGHT - TOP - BOTTOM);
  const grid = [
    ...ys.ticks.map((value) => {
      const at = round(top(value));
      return (
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>` +
        `<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${escape(y.says(value))}</text>`
      );
    }),
    ...xs.ticks.map((value) => {
      const at = round(left(value));
      const bottom = HEIGHT - BOTTOM;
      return (
        `<line class="grid" x1="${at}" x2="${at}" y1="${TOP}" y2="${bottom}"/>` +
        `<text x="${at}" y="${bottom + 16}" text-anchor="middle">${escape(x.says(value))}</text>`
      );
    }),
    ...(x.mark ? marked(left(x.mark[0]), x.mark[1]) : []),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">` +
      `${escape(x.title)}</text>`,
  ];
  const lines = series.map(({ points }, at) => {
    const shown = thinned(points.filter(([, value]) => isShown(y, value)));
    const path = shown.map(([px, py]) => `${round(left(px))},${round(top(py))}`).join(' ');
    return `<polyline class="line s${at % SERIES}" points="${path}"/>`;
  });
  const legend = series.map(
    ({ name }, at) => `<li><span class="key s${at % SERIES}"></span>${escape(name)}</li>`,
  );
  return [
    `<figure><figcaption>${escape(title)}, ${escape(y.title)}</figcaption>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(about)}">`,
    `<title>${escape(about)}</title>`,
    ...grid,
    ...lines,
    '</svg>',
    ...(series.length > 1 ? [`<ul class="legend">${legend.join('')}</ul>`] : []),
    '</figure>',
  ].join('\n');
}

function marked(at: number, says: string): readonly string[] {
  const x = round(at);
  return [
    `<line class="mark-line" x1="${x}" x2="${x}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`,
    `<text x="${x + 4}" y="${TOP + 12}">${escape(says)}</text>`,
  ];
}

/** Classes s0 to s7. */
export const SERIES = 8;

/** What a page must not take for markup. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}

function isShown({ scale }: Axis, value: number): boolean {
  return Number.isFinite(value) && (scale === 'linear' || value > 0);
}

/** From a value to its share of the axis. */
function scaleOf(axis: Axis, values: readonly number[]) {
  const most = Math.max(
    axis.max ?? -Infinity,
    values.reduce((a, b) => Math.max(a, b), 0),
  );
  if (axis.scale === 'linear') {
    const max = most > 0 ? most : 1;
    const step = stepFor(max / TICKS);
    const ticks = axis.ticks ?? rising(0, step, max);
    return { at: (value: number) => Math.min(1, value / max), ticks };
  }
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const from = Math.floor(Math.log10(least));
  const to = Math.max(from + 1, Math.ceil(Math.log10(most)));
  // Few powers of ten get their halves and fifths as well.
  const parts = to - from <= 2 ? [1, 2, 5] : [1];
  const powers = rising(from, 1, to).map((power) => 10 ** power);
  const ticks = axis.ticks ?? powers.flatMap((power) => parts.map((part) => part * power));
  const inside = ticks.filter((value) => value >= 10 ** from && value <= 10 ** to);
  return {
    at: (value: number) => Math.min(1, Math.max(0, (Math.log10(value) - from) / (to - from))),
    ticks: inside,
  };
}

const TICKS = 5;

/** 1, 2 or 5 with zeros, at least this much. */
function stepFor(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((one) => one * power >= least * 0.999)!;
}

function rising(from: number, step: number, to: number): number[] {
  return Array.from({ length: Math.floor((to - from) / step + 1.0001) }, (_, i) => from + i * step);
}

/** Of each group of neighbours the largest: a peak must not be thinned out. */
function thinned(points: Series['points']): Series['points'] {
  const size = Math.ceil(points.length / POINTS_MAX);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    points.slice(i * size, (i + 1) * size).reduce((most, one) => (one[1] > most[1] ? one : most)),
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
