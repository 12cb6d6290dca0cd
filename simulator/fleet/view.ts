/**
 * A run while it goes, for whoever looks at a terminal: one screen that is drawn over and over, or
 * a line now and then where there is no screen. Pure; every line fits 80 columns.
 */
import type { Point, Totals } from './tally.ts';
import { LOOP_FULL, type Use, fullness } from './usage.ts';

export type Scene = Readonly<{
  /** What goes on: “connecting”, “warming up”, “load”, “waiting for the last receipts”. */
  stage: string;
  atS: number;
  durationS: number;
  devices: number;
  totals: Totals;
  /** The last interval; undefined before the first one. */
  point: Point | undefined;
  /** Of everything measured so far, µs. */
  all: Readonly<{ p50Us: number; p99Us: number; p999Us: number; maxUs: number }>;
}>;

const COLUMNS = 80;
const ROWS = 24;
/** Everything but the processes, and the line on which the cursor stands. */
const LINES = 18;

/**
 * The screen, as fewer lines than the terminal has. `paint` puts an SGR code around a text. Of more
 * processes than there is room for the fullest are shown.
 */
export function screenOf(
  scene: Scene,
  paint: (text: string, code: string) => string,
  rows = ROWS,
): string[] {
  const { stage, atS, durationS, devices, totals, point, all } = scene;
  const { counts } = totals;
  const done = durationS > 0 ? Math.min(1, atS / durationS) : 0;
  const bar = '█'.repeat(Math.round(done * BAR)).padEnd(BAR, '░');
  const clockOf = (seconds: number) =>
    `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
  const refused = [...totals.refused].map(([reason, count]) => `${reason} ${count}`);
  const lines = [
    `${paint(' SIMULATED ', '30;43')} ${paint('saytap fleet', '1')}  ${stage}`,
    `${bar} ${clockOf(atS)} of ${clockOf(durationS)}`,
    '',
    row('', 'a second', 'in all'),
    row('due', rate(point?.due), whole(totals.due)),
    row('sent', rate(point?.sent), whole(totals.sent)),
    row('ended', rate(point?.ended), whole(totals.ended), `paid ${whole(counts.paid)}`),
    cut(
      `connected ${whole(totals.ready)} of ${whole(devices)} · waiting ` +
        `${whole(totals.waiting + totals.held)} · again ${whole(counts.resent)} · ` +
        `broken ${whole(counts.broken)}`,
    ),
    cut(`refused ${refused.length === 0 ? '0' : refused.join(', ')}`),
    '',
    row('from due to receipt', 'p50', 'p99', 'p99.9', 'most'),
    row('now', ...[point?.p50Us, point?.p99Us, point?.p999Us, point?.maxUs].map(time)),
    row('so far', ...[all.p50Us, all.p99Us, all.p999Us, all.maxUs].map(time)),
    '',
    `${'process'.padEnd(12)}${['cpu', 'loop', 'queue', 'disk', 'MB'].map(right).join('')}`,
    ...shown(point?.uses ?? [], rows - LINES).map((use) => {
      const cells = [
        ...[use.cpu, fullness(use), use.queue, use.disk].map(percent),
        (use.rssKb / 1024).toFixed(0),
      ];
      const text = `${use.name.slice(0, 12).padEnd(12)}${cells.map(right).join('')}`;
      return fullness(use) >= LOOP_FULL ? paint(text, '31') : text;
    }),
    cut(
      point?.machine
        ? `processors: this run ${percent(point.machine.own)}, others ` +
            `${percent(point.machine.others)}, idle ${percent(point.machine.idle)} · ` +
            `workers late ${(point.loopMs ?? 0).toFixed(0)} ms`
        : 'this system does not tell how busy it is',
    ),
    paint('Ctrl-C ends the load and writes what there is.', '2'),
  ];
  return lines;
}

/** One line for a log. */
export function lineOf({ stage, atS, devices, totals, point, all }: Scene): string {
  const busiest = [...(point?.uses ?? [])].sort((a, b) => fullness(b) - fullness(a))[0];
  return [
    `${atS.toFixed(0).padStart(4)} s ${stage}`,
    `connected ${totals.ready}/${devices}`,
    `due ${rate(point?.due)}/s sent ${rate(point?.sent)}/s ended ${rate(point?.ended)}/s`,
    `waiting ${totals.waiting + totals.held}`,
    `p50 ${time(point?.p50Us)} p99 ${time(point?.p99Us)} (so far ${time(all.p99Us)})`,
    ...(busiest ? [`fullest ${busiest.name} ${percent(fullness(busiest))}`] : []),
    ...(point?.machine ? [`idle ${percent(point.machine.idle)}`] : []),
  ].join(' · ');
}

/** Microseconds as a person reads them. */
export function time(us: number | undefined): string {
  if (us === undefined || us === 0) return '–';
  if (us < 1_000) return `${us.toFixed(0)} µs`;
  if (us < 100_000) return `${(us / 1_000).toFixed(1)} ms`;
  return us < 1e6 ? `${(us / 1_000).toFixed(0)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

/** With a comma between thousands. */
export function whole(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

const BAR = 40;

function shown(uses: readonly Use[], count: number): readonly Use[] {
  if (uses.length <= count) return uses;
  return uses.toSorted((a, b) => fullness(b) - fullness(a)).slice(0, Math.max(1, count));
}

function rate(perSecond: number | undefined): string {
  return perSecond === undefined ? '–' : whole(perSecond);
}

function row(name: string, ...cells: readonly string[]): string {
  return cut(`${name.padEnd(20)}${cells.map((cell) => cell.padStart(12)).join('')}`);
}

function right(text: string): string {
  return text.padStart(9);
}

function cut(text: string): string {
  return text.length <= COLUMNS ? text : `${text.slice(0, COLUMNS - 1)}…`;
}
