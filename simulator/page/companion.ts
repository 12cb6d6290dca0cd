/**
 * The wearer's companion: devices that want to be paired, limits as bars with a way to end them,
 * and what was paid. It stands for the phone; the product's own page for that is broker/pages/.
 */
import { button, el } from '../../src/screen.ts';
import { type Bench, type Panel, panel, present } from './bench.ts';
import type { Event, MandateView, PairingView, StatementRow } from './wire.ts';

export function createCompanion(bench: Bench): Panel {
  const { words, ask, money } = bench;
  const pairings = el('div', { class: 'pairings', 'aria-live': 'polite' });
  const limits = el('div', { class: 'limits' });
  const stale = el('p', { class: 'stale' }, words.stale);
  const rows = el('tbody', {});
  const all = button(words.revokeAll, () => revoke(undefined), { kind: 'grave', id: 'revoke-all' });
  const statement = el(
    'details',
    { class: 'statement', open: true },
    el('summary', {}, words.statement),
    el(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': words.statement },
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...[words.when, words.what, words.howMuch, words.outcome].map((one) =>
              el('th', {}, one),
            ),
          ),
        ),
        rows,
      ),
    ),
  );
  stale.hidden = true;
  const { element, head } = panel('companion', words.companion, pairings, stale, limits, statement);
  head.append(all);
  /** What is granted is asked of each device that has no limits that count. */
  let mandates: readonly MandateView[] = [];
  const devices = new Map<string, Extract<Event, { kind: 'device' }>>();

  async function revoke(mandate: string | undefined): Promise<void> {
    const question = mandate === undefined ? words.revokeAllAsk : words.revokeAsk;
    if (!(await bench.sure(question, words.revoke))) return;
    if (await ask('revoke', mandate === undefined ? {} : { mandate })) bench.tell(words.revoked);
  }

  function drawLimits(): void {
    const names = [...devices.values()]
      .filter(({ device, life }) => device.kind === 'glasses' && life !== 'pairing')
      .map(({ device }) => device.name);
    for (const { device, status } of mandates) {
      if (status === 'active' && !names.includes(device)) names.push(device);
    }
    all.hidden = !mandates.some(({ status }) => status === 'active');
    const focused = document.activeElement?.id;
    limits.replaceChildren(...names.map(limitsOf));
    if (focused !== undefined && focused !== '') document.getElementById(focused)?.focus();
  }

  function limitsOf(device: string): HTMLElement {
    const own = mandates.filter((one) => one.device === device);
    const active = own.filter(({ status }) => status === 'active');
    const last = own.at(-1);
    const none = el(
      'div',
      { class: 'limit', 'data-device': device, 'data-status': last?.status ?? 'none' },
      el(
        'div',
        { class: 'limit-head' },
        el('h3', {}, device),
        el('span', { class: 'state bad' }, last ? words.status[last.status] : words.noLimits),
        button(words.grant, () => grant(device), { id: `grant-${device}` }),
      ),
    );
    if (active.length === 0) return none;
    return el('div', { class: 'limit-group' }, ...active.map((one) => limit(one)));
  }

  async function grant(device: string): Promise<void> {
    const granted = await ask('grant', { device });
    if (granted) present(words, words.granted, granted.text);
  }

  function limit(one: MandateView): HTMLElement {
    const { currency, device, id, status } = one;
    const each = money({ currency, minor: one.perPaymentMax });
    return el(
      'div',
      { class: 'limit', 'data-device': device, 'data-mandate': id, 'data-status': status },
      el(
        'div',
        { class: 'limit-head' },
        el('h3', {}, device),
        el('span', { class: 'quiet' }, words.perPayment(each)),
        button(words.revoke, () => revoke(id), { kind: 'grave', id: `revoke-${id}` }),
      ),
      ...one.windows.map((window) => bar(window, currency)),
    );
  }

  function bar(window: MandateView['windows'][number], currency: string): HTMLElement {
    const used = BigInt(window.used);
    const max = BigInt(window.max);
    const share = max === 0n ? 1 : Number((used * 1_000n) / max) / 1_000;
    const what = words.period(window.period);
    const said = words.usedOf(
      money({ currency, minor: window.used }),
      money({ currency, minor: window.max }),
    );
    return el(
      'div',
      { class: share > 0.9 ? 'window full' : 'window' },
      el('div', {}, el('span', {}, what), el('b', {}, said)),
      // A bar is for the eye: a share of an amount fits a number well enough.
      el('progress', { max: 1, value: share, 'aria-label': `${what}: ${said}` }),
    );
  }

  function drawPairings(list: readonly PairingView[]): void {
    pairings.replaceChildren(
      ...list.map(({ code, device, kind }) =>
        el(
          'div',
          { class: 'pairing', 'data-code': code },
          el('p', {}, words.wantsToPair(device, words.kinds[kind])),
          el('p', { class: 'short' }, code),
          el('p', { class: 'quiet' }, words.compare),
          el(
            'div',
            { class: 'sure-deeds' },
            button(words.refuse, async () => void (await ask('refuse', { code }))),
            button(words.approve, async () => void (await ask('approve', { code })), {
              kind: 'main',
            }),
          ),
        ),
      ),
    );
  }

  function drawStatement(list: readonly StatementRow[]): void {
    rows.replaceChildren(
      ...list
        .slice(0, ROWS_SHOWN)
        .map((row) =>
          el(
            'tr',
            { 'data-outcome': row.outcome },
            el('td', { class: 'when' }, bench.timeOf(row.atMs)),
            el('td', {}, statementText(row)),
            el('td', { class: 'sum' }, row.amount ? money(row.amount) : ''),
            el(
              'td',
              {},
              el('span', { class: `state ${moodOf(row.outcome)}` }, words.outcomeOf(row.outcome)),
            ),
          ),
        ),
    );
    if (list.length === 0) {
      const cell = el('td', { class: 'quiet' }, words.noStatement);
      cell.colSpan = 4;
      rows.replaceChildren(el('tr', {}, cell));
    }
  }

  function statementText({ action, payee }: StatementRow): string {
    const known = bench.hello.payees.find(({ id }) => id === payee);
    const name = known ? bench.named(known.names) : payee;
    return action === 'pay' ? name : `${words.actionOf(action)} · ${name}`;
  }

  drawStatement([]);
  return {
    element,
    hear(event) {
      if (event.kind === 'mandates') {
        mandates = event.list;
        stale.hidden = event.isFresh;
        bench.soon(drawLimits);
      } else if (event.kind === 'device') {
        devices.set(event.device.name, event);
        bench.soon(drawLimits);
      } else if (event.kind === 'pairings') drawPairings(event.list);
      else if (event.kind === 'statement') drawStatement(event.rows);
    },
  };
}

const ROWS_SHOWN = 30;

/** The colour of an outcome; what none of these names is still open. */
export function moodOf(outcome: string): 'good' | 'bad' | 'wait' {
  if (/^(paid|captured|held|refunded|voided|granted|allow|2\d\d)$/.test(outcome)) return 'good';
  if (/^(refused|expired|not_sent|lost|cancelled|deny|[45]\d\d)$/.test(outcome)) return 'bad';
  return 'wait';
}
