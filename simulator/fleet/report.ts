/**
 * A run as one page that can be kept and sent: figures, plots and how they were found.
 *
 * Everything is inside the file. Its own policy forbids it to load anything and to run any script,
 * so a report is as safe to open as it looks, also years later and without a network.
 */
import {
  type Figure,
  type Whole,
  askedFigures,
  costFigures,
  machineFigures,
  memoryFigures,
  paymentFigures,
  lastLine,
  loggedFigures,
  timeFigures,
} from './figures.ts';
import { type Axis, SERIES, type Series, escape, plotOf } from './plot.ts';
import type { Percentiles } from './result.ts';
import type { Point } from './tally.ts';
import { type Use, fullness } from './usage.ts';
import { time, whole } from './view.ts';

export function reportOf(run: Whole): string {
  const { asked, verdict, ended, points, saturation, latencies, lateness } = run;
  const title = `${whole(asked.devices)} devices, ${whole(asked.rate)} payments a second`;
  const state = ended.isAborted
    ? 'ended before its time'
    : verdict.exit === 'ok'
      ? 'carried'
      : 'not carried';
  const names = [...new Set(points.flatMap(({ uses }) => uses.map(({ name }) => name)))];
  const shareOf = (name: string, what: (use: Use) => number): Series => ({
    name,
    points: points.flatMap(({ atS, uses }) => {
      const use = uses.find((one) => one.name === name);
      return use ? [[atS, what(use)] as const] : [];
    }),
  });
  const over = (name: string, what: (point: Point) => number): Series => ({
    name,
    points: points.map((point) => [point.atS, what(point)] as const),
  });
  const seconds: Axis = {
    ...{ title: 'seconds of the run', scale: 'linear', says: whole },
    ...(asked.warmUpS > 0 && { mark: [asked.warmUpS, 'measured from here'] }),
  };
  const rates: Axis = { title: 'payments a second', scale: 'linear', says: whole };
  const times: Axis = { title: 'from when it was due', scale: 'log', says: time };
  const shares: Axis = { title: 'share of one processor', scale: 'linear', max: 1, says: share };

  const body = [
    `<header><p class="mark">SIMULATED</p><h1>${escape(title)}: ${state}</h1>`,
    `<p class="last">${lastLine(verdict)} · waiting ${verdict.waiting}</p>`,
    ...(ended.isAborted
      ? ['<p>Somebody ended this run: the figures are of the part before.</p>']
      : []),
    ...verdict.faults.map((fault) => `<p class="fault">${escape(fault)}</p>`),
    '</header>',
    '<h2>What was full first</h2>',
    `<p>${escape(saturation.says)}</p>`,
    table(costFigures(run)),
    '<h2>Payments</h2>',
    table([...paymentFigures(run), ...timeFigures(run)]),
    `<p>${HOW}</p>`,
    plotOf({
      title: 'Throughput',
      about: `Payments due, sent and ended in each second, up to ${whole(asked.rate)}.`,
      ...{ x: seconds, y: rates },
      series: [
        over('due', ({ due }) => due),
        over('sent', ({ sent }) => sent),
        over('ended (final receipt)', (point) => point.ended),
      ],
    }),
    plotOf({
      title: 'Latency',
      about: 'Percentiles of the time to the receipt in each interval; the scale is logarithmic.',
      ...{ x: seconds, y: times },
      series: [
        over('p50', ({ p50Us }) => p50Us),
        over('p99', ({ p99Us }) => p99Us),
        over('p99.9', ({ p999Us }) => p999Us),
        over('most', ({ maxUs }) => maxUs),
      ],
    }),
    plotOf({
      title: 'Latency by percentile',
      about: 'The time to the receipt, and to sending, at each percentage; towards 100 stretched.',
      x: {
        ...{ title: 'per cent of the payments', scale: 'log' },
        ticks: [90, 99, 99.9, 99.99, 99.999].map(stretched).concat(stretched(0), stretched(50)),
        says: (value) => `${Number((100 - 100 / value).toFixed(3))} %`,
      },
      y: { ...times, title: 'at most' },
      series: [byPercent('due to receipt', latencies), byPercent('due to sent', lateness)],
    }),
    plotOf({
      title: 'Waiting',
      about: 'Payments without a final receipt at the end of each interval.',
      ...{ x: seconds, y: { ...rates, title: 'payments without a receipt' } },
      series: [over('waiting', ({ waiting }) => waiting)],
    }),
    '<h2>Processes</h2>',
    plotOf({
      title: 'Processor',
      about: 'Processor time of each process in each interval, all its threads.',
      ...{ x: seconds, y: shares },
      series: names.map((name) => shareOf(name, ({ cpu }) => cpu)),
    }),
    plotOf({
      title: 'How full each loop was',
      about: 'Share in which the main thread ran, waited for a processor or waited for the disk.',
      ...{ x: seconds, y: { ...shares, title: 'share of its time' } },
      series: names.map((name) => shareOf(name, fullness)),
    }),
    plotOf({
      title: 'The machine',
      about: 'Shares of all processors: this run, other programs, idle.',
      ...{ x: seconds, y: { ...shares, title: 'share of all processors' } },
      series: [
        over('this run', ({ machine }) => machine?.own ?? NaN),
        over('other programs', ({ machine }) => machine?.others ?? NaN),
        over('idle', ({ machine }) => machine?.idle ?? NaN),
      ],
    }),
    plotOf({
      title: 'Late loops of the devices’ processes',
      about: 'How late a timer of the generator was at the most, in each interval.',
      ...{ x: seconds, y: { title: 'ms', scale: 'linear', says: whole } },
      series: [over('most', ({ loopMs }) => loopMs)],
    }),
    ...(run.logged.length > 0
      ? ['<h2>What the programs logged</h2>', table(loggedFigures(run))]
      : []),
    '<h2>Memory</h2>',
    table(memoryFigures(run)),
    '<h2>What was asked, and of which machine</h2>',
    table([...askedFigures(run), ...machineFigures(run)]),
  ].join('\n');
  return page(`saytap fleet: ${title}`, body);
}

const HOW =
  'Each payment is timed from the moment at which it was due by the schedule to the moment at ' +
  'which its device had the final receipt, whether or not it could be sent in time: who waits is ' +
  'counted as waiting. Money was counted in the ledger’s own file after all programs had ended.';

function table(rows: readonly Figure[]): string {
  const lines = rows.map(
    ([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`,
  );
  return `<table>${lines.join('')}</table>`;
}

function byPercent(name: string, rows: Percentiles): Series {
  const last = rows.at(-2)?.[0] ?? 0;
  // 100 % is as far to the right as the payments there are can tell it from others.
  const place = (percent: number) => stretched(percent < 100 ? percent : (100 + last) / 2);
  return { name, points: rows.map(([percent, us]) => [place(percent), us] as const) };
}

/** 0, 90 and 99 % at 1, 10 and 100. */
function stretched(percent: number): number {
  return 100 / (100 - percent);
}

function share(value: number): string {
  return `${(value * 100).toFixed(0)} %`;
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

function colour(name: string): string {
  return `.${name} { stroke: var(--${name}); border-color: var(--${name}); }`;
}

const STYLE = `
:root { --paper: #fff; --ink: #1c1e21; --soft: #5b6067; --rule: #dfe2e6; --bad: #b3261e;
  --s0: #1f6feb; --s1: #d1570c; --s2: #1a7f37; --s3: #b02a8f; --s4: #8a6500; --s5: #0e7490;
  --s6: #6e56cf; --s7: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e8eaed; --soft: #a5abb3; --rule: #34383e; --bad: #ff8a80;
    --s0: #79b8ff; --s1: #ffab70; --s2: #6fdd8b; --s3: #f692ce; --s4: #e3b341; --s5: #56d4dd;
    --s6: #b8a5ff; --s7: #9aa4af; }
}
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 50rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0.25rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
.mark { display: inline-block; margin: 0; padding: 0 0.5rem; background: #f5c518; color: #111;
  font-weight: 700; letter-spacing: 0.05em; }
.last { font-size: 1.15rem; margin: 0.25rem 0; }
.fault { color: var(--bad); margin: 0.25rem 0; font-weight: 600; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th { font-weight: 400; color: var(--soft); width: 38%; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 0;
  padding: 0; font-size: 0.9rem; }
.key { display: inline-block; width: 1.1rem; height: 0; border-top: 3px solid; margin-right: 0.4rem;
  vertical-align: middle; }
figure { overflow-x: auto; }
svg { min-width: 34rem; }
.mark-line { stroke: var(--soft); stroke-dasharray: 4 3; }
${Array.from({ length: SERIES }, (_, at) => colour(`s${at}`)).join('\n')}
`;
