/**
 * The storm panel: what can be made to go wrong, on whom, and what the ledger says of it all; and
 * stories that play by themselves.
 */
import { button, el } from '../../src/screen.ts';
import { type Bench, type Panel, panel } from './bench.ts';
import {
  DEVICE_TROUBLES,
  type Event,
  LINK_TROUBLES,
  MOMENTS,
  SYSTEM_TROUBLES,
  type TroubleName,
  type TroubleView,
} from './wire.ts';

type Tally = Extract<Event, { kind: 'tally' }>;

export function createStorm(bench: Bench): Panel {
  const { words, ask, hello } = bench;
  const whom = el('select', { id: 'whom' }, el('option', { value: '' }, words.allDevices));
  const keys = new Map<TroubleName, HTMLButtonElement>();
  const on = new Map<string, TroubleView>();
  const calm = button(words.calm, async () => void (await ask('calm', {})), { id: 'calm' });
  const kills = el('div', { class: 'chips' });
  const said = el('div', { class: 'narration', role: 'log', 'aria-label': words.narration });
  said.tabIndex = 0;

  function trouble(name: TroubleName): HTMLElement {
    const isMoment = (MOMENTS as readonly string[]).includes(name);
    const key = button('', async () => {
      const device = isOfDevice(name) && whom.value !== '' ? { device: whom.value } : {};
      await ask('trouble', { name, on: isMoment || !isOn(name), ...device });
    });
    key.append(el('b', {}, words.troubles[name][0]), el('small', {}, words.troubles[name][1]));
    key.classList.add('trouble');
    key.dataset['trouble'] = name;
    if (!isMoment) key.setAttribute('aria-pressed', 'false');
    keys.set(name, key);
    return key;
  }

  /** Of the device that is chosen, or of all when none is. */
  function isOn(name: TroubleName): boolean {
    const device = isOfDevice(name) ? whom.value : '';
    return on.has(`${name} ${device}`) || on.has(`${name} `);
  }

  function draw(): void {
    for (const [name, key] of keys) {
      const all = [...on.values()].filter((one) => one.name === name);
      if (key.hasAttribute('aria-pressed')) key.setAttribute('aria-pressed', String(isOn(name)));
      const isElsewhere = all.length > 0 && !isOn(name);
      key.classList.toggle('elsewhere', isElsewhere);
      const about = isElsewhere ? all.map(({ device }) => device).join(', ') : undefined;
      key.querySelector('small')!.textContent = about ?? words.troubles[name][1];
    }
    calm.disabled = on.size === 0;
  }

  whom.addEventListener('change', draw);
  function hearTrouble(view: TroubleView): void {
    const key = `${view.name} ${view.device ?? ''}`;
    if (view.on) on.set(key, view);
    else {
      on.delete(key);
      // Ended for all: also where it was begun for one alone.
      if (view.device === undefined) {
        for (const one of on.keys()) if (one.startsWith(`${view.name} `)) on.delete(one);
      }
    }
    bench.soon(draw);
  }

  const group = (title: string, names: readonly TroubleName[], ...before: readonly Node[]) =>
    el(
      'div',
      { class: 'trouble-group', role: 'group', 'aria-label': title },
      el('h3', {}, title),
      ...before,
      el('div', { class: 'troubles' }, ...names.map(trouble)),
    );
  function kill(name: string): void {
    const key = button(name, async () => void (await ask('kill', { name })), { kind: 'grave' });
    key.setAttribute('aria-label', words.killOf(name));
    key.dataset['kill'] = name;
    kills.append(key);
  }
  for (const program of PROGRAMS) kill(program);

  const choice = el(
    'select',
    { id: 'scenario' },
    ...hello.scenarios.map(({ name, about }) =>
      el('option', { value: name, title: about }, name.replaceAll('-', ' ')),
    ),
  );
  const about = el('p', { class: 'quiet' });
  const tellAbout = () => {
    about.textContent = hello.scenarios.find(({ name }) => name === choice.value)?.about ?? '';
  };
  choice.addEventListener('change', tellAbout);
  tellAbout();
  const play = button(
    words.play,
    async () => void (await ask('scenario', { name: choice.value })),
    { kind: 'main', id: 'play' },
  );

  const { element, head } = panel(
    'storm',
    words.storm,
    el('p', { class: 'whom' }, el('label', { for: 'whom' }, words.whom), whom),
    group(words.links, LINK_TROUBLES),
    group(words.devices, DEVICE_TROUBLES),
    group(words.services, [...SYSTEM_TROUBLES, ...MOMENTS]),
    el(
      'div',
      { class: 'trouble-group', role: 'group', 'aria-label': words.kill },
      el('h3', {}, words.kill),
      kills,
    ),
    el(
      'div',
      { class: 'trouble-group' },
      el('h3', {}, el('label', { for: 'scenario' }, words.scenarios)),
      el('div', { class: 'line scenario' }, choice, play),
      about,
      said,
    ),
  );
  head.append(calm);
  for (const one of hello.troubles) if (one.on) hearTrouble(one);
  draw();

  const known = new Set<string>();
  return {
    element,
    hear(event) {
      switch (event.kind) {
        case 'trouble':
          return hearTrouble(event);
        case 'device': {
          const { name } = event.device;
          if (known.has(name)) return;
          known.add(name);
          whom.append(el('option', { value: name }, name));
          return kill(name);
        }
        case 'narration':
          return narrate(event);
        default:
          return undefined;
      }
    },
  };

  function narrate({ by, text, mood, isEnd }: Extract<Event, { kind: 'narration' }>): void {
    const row = el('p', { ...(mood && { 'data-mood': mood }) }, text);
    if (isEnd) row.dataset['end'] = by;
    said.append(row);
    while (said.childElementCount > NARRATION_MAX) said.firstElementChild!.remove();
    said.scrollTop = said.scrollHeight;
  }
}

const PROGRAMS = ['bridge', 'risk', 'ledger'] as const;
const NARRATION_MAX = 200;

function isOfDevice(name: TroubleName): boolean {
  return [...LINK_TROUBLES, ...DEVICE_TROUBLES].some((one) => one === name);
}

/** The live line: what the ledger and the outboxes say, never what a program counts of itself. */
export function createTally({ words }: Bench): Panel {
  const cells = new Map<keyof typeof words.tally, HTMLElement>();
  const element = el('p', { class: 'tally', role: 'status', 'aria-label': words.tallyAbout });
  element.title = words.tallyAbout;
  for (const name of ['asked', 'paid', 'twice', 'lost', 'waiting'] as const) {
    const count = el('b', { 'data-tally': name }, '0');
    cells.set(name, count);
    element.append(el('span', { class: name }, words.tally[name], ' ', count));
  }
  return {
    element,
    hear(event) {
      if (event.kind !== 'tally') return;
      draw(event);
    },
  };

  function draw(tally: Tally): void {
    for (const [name, cell] of cells) {
      const count = String(tally[name]);
      if (cell.textContent !== count) cell.textContent = count;
      cell.parentElement!.classList.toggle('wrong', isFault(name) && tally[name] > 0);
    }
    element.classList.toggle('unknown', !tally.isKnown);
  }
}

/** What may never happen. */
function isFault(name: string): boolean {
  return name === 'twice' || name === 'lost';
}
