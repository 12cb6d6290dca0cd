/**
 * The page that a kiosk shows in its browser: its own screen and nothing around it. The device
 * program serves it (device/window.ts).
 */
import { listen } from '../../src/browser/feed.ts';
import { openWorld } from '../../src/browser/world.ts';
import type { Touch } from '../touch.ts';
import { type View, WINDOW_HEADER } from '../view.ts';
import { type Kiosk, createKiosk } from './kiosk.ts';
import { wordsOf } from './words.ts';

const main = document.querySelector<HTMLElement>('#main')!;
const away = document.querySelector<HTMLElement>('#away')!;
const mark = document.querySelector<HTMLElement>('#mark')!;
const world = openWorld('/v1/ask/', () => ({ [WINDOW_HEADER]: secret }));
const secret = world.takeFragment() || world.recall('secret') || '';
world.remember('secret', secret);
let words = wordsOf(world.languages[0]?.startsWith('zh') ? 'zh' : 'en');
let kiosk: Kiosk | undefined;
const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';

const touch = (what: Touch) => void world.ask('touch', what);

listen(
  '/v1/events',
  { [WINDOW_HEADER]: secret },
  {
    begun: () => (away.hidden = true),
    lost(why) {
      away.textContent = why === 'refused' ? words.locked : words.away;
      away.hidden = false;
    },
    event(text) {
      const view = JSON.parse(text) as View;
      if (view.kind === 'hello') begin(view);
      else if (view.kind === 'shown') kiosk?.show(view.shown);
      else kiosk?.state(view);
    },
  },
);

function begin(hello: Extract<View, { kind: 'hello' }>): void {
  const { language, title, currency, offers, environment } = hello;
  words = wordsOf(language);
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
  document.title = title;
  mark.textContent =
    language === 'zh' ? '模拟环境 · 不会动用真实资金' : 'SIMULATED · no real money';
  mark.hidden = environment !== 'sim';
  kiosk = createKiosk({
    ...{ language, title, currency, offers },
    deeds: {
      order: (lines) => touch({ kind: 'order', currency, lines: [...lines] }),
      clerk: (text) => touch({ kind: 'clerk', text }),
      clear: () => touch({ kind: 'clear' }),
    },
  });
  main.replaceChildren(kiosk.element);
}
