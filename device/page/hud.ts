/**
 * The display in a pair of glasses, as its wearer sees it: what is to be agreed to, what was said,
 * and the keys for a PIN while one is asked for.
 *
 * Light on dark in either theme, because that is what such a display can do: what is dark there is
 * the world behind it.
 */
import { CONFIRM_MS, PIN_DIGITS_MAX, PROOF_MS } from '../../src/limits.ts';
import { button, el } from '../../src/screen.ts';
import type { Language } from '../phrases.ts';
import type { Mood } from '../surface/port.ts';
import type { Shown } from '../surface/screen.ts';
import { type Sign, sign } from './drawing.ts';
import { type Words, wordsOf } from './words.ts';

export type Hud = Readonly<{
  element: HTMLElement;
  show: (shown: Shown) => void;
  /** What does not come from the device's own words. */
  state: (state: Readonly<{ isOnline: boolean; isWorn: boolean; open: number }>) => void;
}>;

/** A display; `enter` takes the whole PIN. */
export function createHud(language: Language, enter: (digits: string) => void): Hud {
  const words = wordsOf(language);
  const link = el('span', { class: 'dot' }, words.offline);
  const waiting = el('span', { class: 'hud-waiting' });
  const body = el('div', { class: 'hud-body' });
  const time = el('div', { class: 'hud-time' });
  const said = el('p', { class: 'unseen', role: 'status', 'aria-live': 'assertive' });
  const pad = createPad(words, enter);
  const lens = el(
    'div',
    { class: 'lens', 'data-kind': 'idle' },
    el('div', { class: 'hud-top' }, link, waiting),
    body,
    time,
  );
  const element = el('div', { class: 'hud' }, lens, said, pad.element);
  let shown: Shown = { kind: 'idle' };
  let isWorn = true;

  function draw(): void {
    lens.dataset['kind'] = isWorn ? shown.kind : 'off';
    lens.dataset['mood'] = shown.kind === 'say' ? shown.mood : 'plain';
    body.replaceChildren(...(isWorn ? linesOf(shown, words) : off(words)));
    const isAsking = isWorn && shown.kind === 'ask';
    time.replaceChildren();
    if (isAsking) {
      // Begun anew with each question; how long it runs is the runtime's own patience.
      const left = el('i');
      const isProof = shown.kind === 'ask' && shown.wants !== 'confirmation';
      left.style.animationDuration = `${isProof ? PROOF_MS : CONFIRM_MS}ms`;
      time.append(left);
    }
    pad.open(isAsking && shown.kind === 'ask' && shown.wants === 'pin');
  }
  draw();

  return {
    element,
    show(now) {
      shown = now;
      draw();
      if (now.kind === 'ask' || now.kind === 'say') said.textContent = now.sentence;
    },
    state(state) {
      link.textContent = state.isOnline ? words.online : words.offline;
      link.classList.toggle('on', state.isOnline);
      waiting.textContent = state.open > 0 ? words.waiting(state.open) : '';
      if (state.isWorn === isWorn) return;
      isWorn = state.isWorn;
      draw();
    },
  };
}

function linesOf(shown: Shown, words: Words): readonly HTMLElement[] {
  switch (shown.kind) {
    case 'idle':
      return [
        el('p', { class: 'hud-title' }, words.idle),
        el('p', { class: 'hud-quiet' }, words.idleHow),
      ];
    case 'ask': {
      const { payee, amount, lines, needs } = shown.frame;
      const how =
        shown.wants === 'pin'
          ? words.enterPin
          : shown.wants === 'phrase'
            ? words.sayPhrase
            : [words.sayOrTap, words.tapTemple, words.thenPin][needs - 1]!;
      return [
        el('p', { class: 'hud-payee' }, payee),
        el('p', { class: 'hud-amount' }, amount),
        el(
          'ul',
          { class: 'hud-lines' },
          ...lines.slice(0, LINES_SHOWN).map((one) => el('li', {}, one)),
        ),
        el('p', { class: 'hud-how' }, sign(shown.wants === 'pin' ? 'key' : 'tap'), how),
      ];
    }
    case 'say':
      return [
        el('p', { class: 'hud-said' }, sign(SIGN_OF[shown.mood]), el('span', {}, shown.sentence)),
      ];
    case 'bill':
      return [el('p', { class: 'hud-said' }, el('span', {}, shown.sentence))];
    case 'order':
      return [el('p', { class: 'hud-said' }, el('span', {}, words.order(shown.number)))];
  }
}

/** Of an order with more lines the rest is in the sum that is agreed to. */
const LINES_SHOWN = 4;

/** What a mood looks like to whoever does not see its colour. */
export const SIGN_OF: Readonly<Record<Mood, Sign>> = {
  plain: 'voice',
  good: 'done',
  bad: 'wrong',
  waiting: 'wait',
};

function off(words: Words): readonly HTMLElement[] {
  return [
    el('p', { class: 'hud-title' }, words.off),
    el('p', { class: 'hud-quiet' }, words.offHow),
  ];
}

/** Keys; how many digits were entered shows, and never which. */
function createPad(words: Words, enter: (digits: string) => void) {
  let digits = '';
  const dots = el('span', { 'aria-hidden': 'true' });
  const count = el('span', { class: 'unseen', role: 'status' });
  const set = (next: string) => {
    digits = next.slice(0, PIN_DIGITS_MAX);
    dots.textContent = '•'.repeat(digits.length);
    count.textContent = digits === '' ? '' : words.digits(digits.length);
  };
  const send = () => {
    const whole = digits;
    set('');
    if (whole !== '') enter(whole);
  };
  const key = (digit: string) => button(digit, () => set(digits + digit));
  const erase = button('', () => set(digits.slice(0, -1)));
  erase.append(sign('erase'));
  erase.setAttribute('aria-label', words.erase);
  const element = el(
    'div',
    { class: 'pad', role: 'group', 'aria-label': words.pin },
    el('p', { class: 'pad-dots' }, dots, count),
    ...'123456789'.split('').map(key),
    erase,
    key('0'),
    button(words.enter, send, { kind: 'main' }),
  );
  element.hidden = true;
  element.addEventListener('keydown', (event) => {
    if (/^\d$/.test(event.key)) set(digits + event.key);
    else if (event.key === 'Backspace') set(digits.slice(0, -1));
  });
  return {
    element,
    open(isOpen: boolean) {
      if (element.hidden === !isOpen) return;
      element.hidden = !isOpen;
      set('');
      if (isOpen) element.querySelector('button')?.focus();
    },
  };
}
