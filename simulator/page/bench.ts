/**
 * What every panel of the simulator's page works with: the host's verbs with their types, money and
 * times as people read them, and one drawing for each frame of the screen however many events come.
 */
import { formatMoney } from '../../src/money.ts';
import type { Camera, Recognise, World } from '../../src/page.ts';
import { button, el } from '../../src/screen.ts';
import type {
  Amount,
  Answers,
  Asks,
  Event,
  Hello,
  Language,
  Names,
  TagView,
  VerbName,
} from './wire.ts';
import type { Words } from './words.ts';

/** A part of the page; it hears every event. */
export type Panel = Readonly<{ element: HTMLElement; hear: (event: Event) => void }>;

/** What a browser may have, and only this page asks for. */
export type Senses = Readonly<{
  openCamera: () => Promise<Camera>;
  /** Undefined when this browser cannot. */
  recognise: Recognise | undefined;
}>;

export type Bench = Readonly<{
  hello: Hello;
  language: Language;
  words: Words;
  senses: Senses;
  world: World;
  /** Asks the host; a refusal is told to the person, and undefined comes back. */
  ask: <V extends VerbName>(name: V, asks: Asks<V>) => Promise<Answers<V> | undefined>;
  /** Says something at the lower edge; screen readers read it out. */
  tell: (text: string) => void;
  sure: (question: string, verb: string) => Promise<boolean>;
  money: (amount: Amount) => string;
  /** One of several names, in the language of the page. */
  named: (names: Names) => string;
  timeOf: (ms: number) => string;
  /** Calls `draw` before the next frame, once, however often it is asked for. */
  soon: (draw: () => void) => void;
  /** Which devices are looked at, so that a tag knows where it is tapped. */
  chosen: { glasses: string | undefined; kiosk: string | undefined };
}>;

export function createBench(
  parts: Pick<Bench, 'hello' | 'words' | 'senses' | 'world' | 'tell'>,
): Bench {
  const { hello, world, words, tell } = parts;
  const { language } = hello;
  const pending = new Set<() => void>();
  function flush(): void {
    const draws = [...pending];
    pending.clear();
    for (const draw of draws) draw();
  }
  return {
    ...parts,
    language,
    async ask(name, asks) {
      const answer = await world.ask(name, asks);
      if (answer.ok) return answer.value as never;
      tell(words.refused(answer.why || answer.reason));
      return undefined;
    },
    sure: (question, verb) => sure(words, question, verb),
    money: ({ currency, minor }) => formatMoney({ currency, minor: BigInt(minor) }, language),
    named: (names) => (names.find(([one]) => one === language) ?? names[0])?.[1] ?? '',
    timeOf: (ms) => new Date(ms).toLocaleTimeString(language === 'zh' ? 'zh-CN' : 'en-GB'),
    soon(draw) {
      if (pending.size === 0) {
        // Nobody draws for a page that nobody sees; it still has to keep up.
        if (document.hidden) world.after(HIDDEN_MS, flush);
        else requestAnimationFrame(flush);
      }
      pending.add(draw);
    },
    chosen: { glasses: undefined, kiosk: undefined },
  };
}

const HIDDEN_MS = 250;

/** Asks once more before something grave; Escape is a no. */
function sure(words: Words, question: string, verb: string): Promise<boolean> {
  return new Promise((decide) => {
    const dialog = el('dialog', { class: 'sure' });
    const end = (isSure: boolean) => () => {
      dialog.remove();
      decide(isSure);
    };
    dialog.append(
      el('p', {}, question),
      el(
        'div',
        { class: 'sure-deeds' },
        button(words.no, end(false)),
        button(verb, end(true), { kind: 'grave', id: 'sure' }),
      ),
    );
    dialog.addEventListener('cancel', end(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Shows something to read for as long as the person wants. */
export function present(words: Words, title: string, text: string): void {
  const dialog = el('dialog', { class: 'sure', 'aria-label': title });
  dialog.append(
    el('h2', {}, title),
    el('p', {}, text),
    el(
      'div',
      { class: 'sure-deeds' },
      button(words.close, () => dialog.close(), { kind: 'main' }),
    ),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** A panel under its heading; `id` is where the navigation leads. */
export function panel(id: string, title: string, ...children: readonly (Node | string)[]) {
  const heading = el('h2', { id: `${id}-title` }, title);
  const head = el('div', { class: 'panel-head' }, heading);
  const element = el(
    'section',
    { class: 'panel', id, 'aria-labelledby': `${id}-title` },
    head,
    ...children,
  );
  return { element, head };
}

/** One of several devices is looked at; the others show by a dot how they are. */
export type Tabs = Readonly<{
  element: HTMLElement;
  add: (name: string, content: HTMLElement) => void;
  mark: (name: string, state: 'on' | 'off' | 'down') => void;
  choose: (name: string) => void;
}>;

export function createTabs(
  place: HTMLElement,
  label: string,
  onChoose: (name: string) => void,
): Tabs {
  const tabs = new Map<string, Readonly<{ tab: HTMLButtonElement; content: HTMLElement }>>();
  const element = el('div', { class: 'tabs', role: 'tablist', 'aria-label': label });
  function choose(name: string): void {
    for (const [other, { tab, content }] of tabs) {
      const isChosen = other === name;
      tab.setAttribute('aria-selected', String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      content.hidden = !isChosen;
    }
    onChoose(name);
  }
  element.addEventListener('keydown', ({ key }) => {
    const step = key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0;
    const names = [...tabs.keys()];
    const at = names.findIndex((name) => tabs.get(name)!.tab === document.activeElement);
    if (step === 0 || at < 0) return;
    const next = names[(at + step + names.length) % names.length]!;
    choose(next);
    tabs.get(next)!.tab.focus();
  });
  return {
    element,
    add(name, content) {
      const tab = el(
        'button',
        { type: 'button', role: 'tab', class: 'tab', id: `tab-${name}` },
        name,
      );
      tab.setAttribute('aria-controls', `view-${name}`);
      tab.addEventListener('click', () => choose(name));
      content.id = `view-${name}`;
      content.setAttribute('role', 'tabpanel');
      content.setAttribute('aria-labelledby', `tab-${name}`);
      tabs.set(name, { tab, content });
      element.append(tab);
      place.append(content);
      content.hidden = true;
      tab.setAttribute('aria-selected', 'false');
      tab.tabIndex = -1;
      if (tabs.size === 1) choose(name);
    },
    mark: (name, state) => tabs.get(name)?.tab.setAttribute('data-state', state),
    choose,
  };
}

/** How a tag is dragged from the deck to a device. */
export const TAG_TYPE = 'application/x-saytap-tag';
/** How a kiosk's code is dragged to a pair of glasses. */
export const CODE_TYPE = 'application/x-saytap-code';

/** A place where things are dropped; `take` says whether it was something for it. */
export function dropPlace(element: HTMLElement, take: (data: DataTransfer) => void): void {
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    element.classList.add('over');
  });
  for (const name of ['dragleave', 'drop']) {
    element.addEventListener(name, () => element.classList.remove('over'));
  }
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer) take(event.dataTransfer);
  });
}

/** The tag that is being dragged, if it is one. */
export function tagIn(data: DataTransfer): TagView | undefined {
  const text = data.getData(TAG_TYPE);
  return text === '' ? undefined : (JSON.parse(text) as TagView);
}
