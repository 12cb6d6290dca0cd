/**
 * The simulator's page: one stream of events in, verbs out, and five panels that draw what they
 * hear.
 *
 * It is put together anew at every beginning of the stream, which tells how everything stands: so
 * a page that was away, or speaks another language now, has nothing to catch up with.
 */
import { openCamera } from '../../src/browser/camera.ts';
import { listen } from '../../src/browser/feed.ts';
import { recognise } from '../../src/browser/speech.ts';
import { openWorld } from '../../src/browser/world.ts';
import { button, el } from '../../src/screen.ts';
import { type Bench, type Panel, createBench } from './bench.ts';
import { createCompanion } from './companion.ts';
import { createGlasses } from './glasses.ts';
import { createKiosks } from './kiosk.ts';
import { createPipeline } from './pipeline.ts';
import { createStorm, createTally } from './storm.ts';
import { type Event, type Hello, SECRET_HEADER } from './wire.ts';
import { type Words, wordsOf } from './words.ts';

const top = document.querySelector<HTMLElement>('#top')!;
const main = document.querySelector<HTMLElement>('#main')!;
const told = document.querySelector<HTMLElement>('#told')!;
const away = document.querySelector<HTMLElement>('#away')!;

const world = openWorld('/v1/ask/', () => ({ [SECRET_HEADER]: secret }));
const secret = world.takeFragment() || world.recall('secret') || '';
world.remember('secret', secret);
let words: Words = wordsOf(world.languages[0]?.startsWith('zh') ? 'zh' : 'en');
let panels: readonly Panel[] = [];
wear(world.recall('theme'));

const feed = listen(
  '/v1/events',
  { [SECRET_HEADER]: secret },
  {
    begun: () => (away.hidden = true),
    lost(why) {
      away.textContent = why === 'refused' ? words.locked : words.away;
      away.hidden = false;
    },
    event: (text) => hear(JSON.parse(text) as Event),
  },
);

function hear(event: Event): void {
  if (event.kind === 'hello') return begin(event);
  // Devices speak another language from now on, and so does everything around them.
  if (event.kind === 'language') return feed.anew();
  for (const one of panels) one.hear(event);
}

function tell(text: string): void {
  told.textContent = text;
  world.after(TOLD_MS, () => told.textContent === text && told.replaceChildren());
}

const TOLD_MS = 7_000;

function begin(hello: Hello): void {
  words = wordsOf(hello.language);
  document.documentElement.lang = hello.language === 'zh' ? 'zh-Hans' : 'en';
  document.title = `${words.simulated} · saytap`;
  const senses = { openCamera, recognise };
  const bench = createBench({ hello, words, senses, world, tell });
  const kiosk = createKiosks(bench);
  const tally = createTally(bench);
  const glasses = createGlasses(bench, kiosk.code);
  const companion = createCompanion(bench);
  const pipeline = createPipeline(bench);
  const storm = createStorm(bench);
  panels = [glasses, kiosk, companion, pipeline, storm, tally];
  top.replaceChildren(
    el('p', { class: 'mark' }, el('strong', {}, words.simulated), el('span', {}, words.noMoney)),
    header(bench, tally),
  );
  main.replaceChildren(
    glasses.element,
    kiosk.element,
    el('div', { class: 'side' }, companion.element, storm.element),
    pipeline.element,
    navigation(),
  );
}

function header(bench: Bench, tally: Panel): HTMLElement {
  const { language } = bench.hello;
  const other = button(words.other, async () => {
    await bench.ask('language', { language: words.otherLanguage });
  });
  other.lang = words.otherLanguage;
  const theme = button('', () => {
    world.remember('theme', isDark() ? 'light' : 'dark');
    wear(world.recall('theme'));
    name();
  });
  const name = () => (theme.textContent = isDark() ? words.light : words.dark);
  name();
  return el(
    'div',
    { class: 'bar', lang: language === 'zh' ? 'zh-Hans' : 'en' },
    el('h1', {}, 'saytap ', el('span', {}, words.title)),
    tally.element,
    theme,
    other,
  );
}

/** On a phone the panels stand one below the other. */
function navigation(): HTMLElement {
  const places = ['glasses', 'kiosk', 'companion', 'pipeline', 'storm'] as const;
  return el(
    'nav',
    { 'aria-label': words.parts },
    ...places.map((place) => el('a', { href: `#${place}` }, words[place])),
  );
}

function isDark(): boolean {
  return document.documentElement.dataset['theme'] === 'dark';
}

/** Light or dark: as the person chose here, else as the system is. */
function wear(theme: string | undefined): void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  document.documentElement.dataset['theme'] = theme ?? (system.matches ? 'dark' : 'light');
}
