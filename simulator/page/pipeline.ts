/**
 * The pipeline: every message of a payment as it travels, when it did, and what was in it.
 *
 * What is seen is seen from outside, between the programs. Time in which a person thinks is folded,
 * because it would make everything that a machine does too thin to see.
 */
import { svg } from '../../device/page/drawing.ts';
import { button, el } from '../../src/screen.ts';
import { type Bench, type Panel, panel } from './bench.ts';
import { moodOf } from './companion.ts';
import { type Answers, type Hop, type PaymentView, STATIONS } from './wire.ts';

type Travel = {
  view: PaymentView | undefined;
  readonly hops: Hop[];
  row: HTMLButtonElement | undefined;
};

export function createPipeline(bench: Bench): Panel {
  const { words, ask, money } = bench;
  const list = el('div', { class: 'payments', role: 'group', 'aria-label': words.payments });
  const hopList = el('ol', { class: 'hops' });
  const header = el('div', { class: 'hop-head', 'aria-hidden': 'true' }, lanesHead(bench));
  const empty = el('p', { class: 'quiet empty' }, words.noPayments);
  const travelled = el('div', { class: 'travelled' }, header, hopList);
  const follow = el('input', { type: 'checkbox', id: 'follow', checked: true });
  const { element, head } = panel(
    'pipeline',
    words.pipeline,
    empty,
    el('div', { class: 'pipeline' }, list, travelled),
  );
  head.append(el('label', { class: 'follow', for: 'follow' }, follow, words.follow));
  header.hidden = true;
  const travels = new Map<string, Travel>();
  let chosen: string | undefined;
  let drawn: string | undefined;
  const rows: HopRow[] = [];

  function travelOf(id: string): Travel {
    let travel = travels.get(id);
    if (!travel) {
      travel = { view: undefined, hops: [], row: undefined };
      travels.set(id, travel);
      if (travels.size > PAYMENTS_MAX) {
        const [oldest, gone] = travels.entries().next().value!;
        gone.row?.remove();
        travels.delete(oldest);
      }
      if (follow.checked || chosen === undefined) chosen = id;
    }
    return travel;
  }

  function choose(id: string): void {
    chosen = id;
    follow.checked = false;
    bench.soon(draw);
  }

  function draw(): void {
    empty.hidden = travels.size > 0;
    header.hidden = chosen === undefined;
    for (const [id, travel] of travels) drawRow(id, travel);
    const travel = chosen === undefined ? undefined : travels.get(chosen);
    if (!travel) return;
    if (drawn !== chosen) {
      drawn = chosen;
      rows.length = 0;
      hopList.replaceChildren();
    }
    for (const hop of travel.hops.slice(rows.length)) {
      const row = hopRow(bench, hop, () => void open(hop));
      rows.push(row);
      hopList.append(row.element);
    }
    drawTimes(bench, travel.hops, rows);
  }

  function drawRow(id: string, travel: Travel): void {
    if (!travel.row) {
      travel.row = button('', () => choose(id));
      travel.row.classList.add('payment');
      list.prepend(travel.row);
    }
    const { row, view } = travel;
    row.setAttribute('aria-pressed', String(id === chosen));
    const state = view?.state ?? 'asking';
    const key = `${state} ${view?.amount?.minor ?? ''} ${view?.reason ?? ''}`;
    if (row.dataset['key'] === key) return;
    row.dataset['key'] = key;
    row.dataset['state'] = state;
    const payee = bench.hello.payees.find(({ id: one }) => one === view?.payee);
    const deed = view?.action === undefined || view.action === 'pay' ? [] : [view.action];
    const why = view?.reason === undefined ? '' : ` · ${words.reason(view.reason)}`;
    row.replaceChildren(
      el('b', {}, view?.amount ? money(view.amount) : state === 'asking' ? words.asking : '–'),
      el('span', { class: `state ${moodOf(state)}` }, words.stateOf(state)),
      el(
        'small',
        {},
        [
          ...deed.map(words.actionOf),
          [view?.device, payee && bench.named(payee.names)].filter(Boolean).join(' → '),
        ].join(' · ') + why,
      ),
    );
  }

  async function open(hop: Hop): Promise<void> {
    const detail = await ask('detail', { payment: hop.payment, hop: hop.number });
    if (detail) showDetail(bench, hop, detail);
  }

  return {
    element,
    hear(event) {
      if (event.kind === 'payment') travelOf(event.id).view = event;
      else if (event.kind === 'hop') {
        const { hops } = travelOf(event.payment);
        if (hops.length < HOPS_MAX) hops.push(event);
      } else return;
      bench.soon(draw);
    },
  };
}

/** Payments that the page keeps, and messages of each: whoever wants more has the trace files. */
const PAYMENTS_MAX = 60;
const HOPS_MAX = 120;

// ── one message ────────────────────────────────────────────────────────────────────────────────

type HopRow = Readonly<{ element: HTMLElement; bar: SVGRectElement; after: HTMLElement }>;

const LANE = 45;
const WIDTH = LANE * STATIONS.length;

function lanesHead({ words }: Bench): HTMLElement {
  return el(
    'div',
    { class: 'lanes-head' },
    ...STATIONS.map((one) => el('span', {}, words.stations[one])),
  );
}

function hopRow(bench: Bench, hop: Hop, open: () => void): HopRow {
  const { words } = bench;
  const bar = svg('rect', { x: 0, y: 2, width: 0, height: 6, rx: 1 });
  const after = el('span', { class: 'hop-after' });
  const key = button('', open);
  key.classList.add('hop');
  const outcome = hop.outcome === undefined ? '' : words.outcomeOf(hop.outcome);
  const mood = moodOf(hop.outcome ?? '');
  const way = `${words.stations[hop.from]} → ${words.stations[hop.to]}`;
  key.append(
    lanes(hop),
    el(
      'span',
      { class: 'hop-what' },
      el('b', {}, words.hops[hop.what]),
      el('small', { class: 'hop-way' }, way),
      hop.text !== undefined && el('small', {}, hop.text),
      outcome !== '' && el('span', { class: `state ${mood}` }, outcome),
    ),
    el(
      'span',
      { class: 'hop-time' },
      svg(
        'svg',
        { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
        bar,
      ),
      after,
    ),
  );
  return { element: el('li', {}, key), bar, after };
}

/** Where it went: an arrow between two of the stations. */
function lanes({ from, to, outcome }: Hop): SVGSVGElement {
  const at = (station: (typeof STATIONS)[number]) => STATIONS.indexOf(station) * LANE + LANE / 2;
  const [start, end] = [at(from), at(to)];
  const isLost = outcome === 'lost';
  const picture = svg('svg', {
    viewBox: `0 0 ${WIDTH} 28`,
    class: isLost ? 'lanes lost' : 'lanes',
    'aria-hidden': 'true',
  });
  for (const station of STATIONS) {
    picture.append(
      svg('line', { x1: at(station), x2: at(station), y1: -1, y2: 29, class: 'lane' }),
    );
  }
  if (start === end) {
    picture.append(svg('circle', { cx: start, cy: 14, r: 5, class: 'stay' }));
    return picture;
  }
  const step = end > start ? 1 : -1;
  const tip = isLost ? (start + end) / 2 : end - step * 2;
  picture.append(
    svg('circle', { cx: start, cy: 14, r: 3, class: 'start' }),
    svg('path', { d: `M${start + step * 3} 14H${tip}`, class: 'way' }),
    isLost
      ? svg('path', { d: `M${tip - 4} 10l8 8m0-8l-8 8`, class: 'way' })
      : svg('path', { d: `M${tip - step * 6} 9.5l${step * 6} 4.5l${-step * 6} 4.5`, class: 'way' }),
  );
  return picture;
}

/** Sets the bars: each begins where the one before ended. */
function drawTimes({ words }: Bench, hops: readonly Hop[], rows: readonly HopRow[]): void {
  const gaps = hops.map((hop, n) => {
    const before = hops[n - 1];
    return before ? Math.max(0, hop.atMs - before.atMs) : 0;
  });
  const isPerson = hops.map(({ from }, n) => n > 0 && from === 'person');
  const work = gaps.reduce((sum, gap, n) => (isPerson[n] ? sum : sum + gap), 0);
  // A person's time takes a twelfth of the width however long it was.
  const folded = work === 0 ? 1 : work / 12;
  const widths = gaps.map((gap, n) => (isPerson[n] ? Math.min(gap, folded) : gap));
  const total = widths.reduce((sum, one) => sum + one, 0) || 1;
  let x = 0;
  for (const [n, { bar, after }] of rows.entries()) {
    const width = (widths[n]! / total) * 100;
    // What took no time to speak of is still there.
    const shown = Math.max(0.8, width);
    bar.setAttribute('x', String(Math.min(x, 100 - shown)));
    bar.setAttribute('width', String(shown));
    bar.setAttribute('class', isPerson[n] ? 'person' : 'work');
    after.textContent = n === 0 ? '' : words.after(gaps[n]!);
    x += width;
  }
}

// ── what was in it ─────────────────────────────────────────────────────────────────────────────

function showDetail(bench: Bench, hop: Hop, detail: Answers<'detail'>): void {
  const { words, money } = bench;
  const part = (title: string, ...children: readonly Node[]) =>
    el('section', {}, el('h3', {}, title), ...children);
  const text = (lines: string) => el('pre', { tabindex: '0' }, lines);
  const { signature, annotated, json, decision, postings } = detail;
  const dialog = el('dialog', { class: 'detail', 'aria-labelledby': 'detail-title' });
  const close = button(words.close, () => dialog.close());
  dialog.append(
    el(
      'header',
      {},
      el(
        'h2',
        { id: 'detail-title' },
        `${words.hops[hop.what]}: ${words.stations[hop.from]} → ${words.stations[hop.to]}`,
      ),
      close,
    ),
  );
  if (signature) {
    const said = signature.isValid
      ? words.signed(signature.by)
      : words.notSigned(signature.by, signature.why ?? '');
    dialog.append(
      part(
        words.signature,
        el('p', { class: `state ${signature.isValid ? 'good' : 'bad'}` }, said),
      ),
    );
  }
  if (hop.text !== undefined && !annotated && !json) {
    dialog.append(part(words.hops[hop.what], el('p', {}, hop.text)));
  }
  if (annotated) dialog.append(part(words.bytes, text(annotated.join('\n'))));
  if (json !== undefined) dialog.append(part(words.json, text(json)));
  if (decision.length > 0) dialog.append(part(words.decision, text(decision.join('\n'))));
  const moved = postings.map(({ from, to, amount, kind }) =>
    el(
      'tr',
      {},
      el('td', {}, kind),
      el('td', {}, from),
      el('td', {}, to),
      el('td', { class: 'sum' }, money(amount)),
    ),
  );
  const heads = [words.postingKind, words.postingFrom, words.postingTo, words.howMuch];
  dialog.append(
    part(
      words.postings,
      moved.length === 0
        ? el('p', { class: 'quiet' }, words.noPostings)
        : el(
            'table',
            {},
            el('thead', {}, el('tr', {}, ...heads.map((one) => el('th', {}, one)))),
            el('tbody', {}, ...moved),
          ),
    ),
  );
  dialog.addEventListener('close', () => dialog.remove());
  // A click beside it closes it, as people expect.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
