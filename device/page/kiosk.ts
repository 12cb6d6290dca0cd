/**
 * A kiosk's screen: what is offered, what was chosen, the code or the place for a tag to pay it by,
 * and how it ended. Staff has a line of its own, which the customer need not see.
 *
 * What was chosen lies here alone until it is ordered: it is nobody's business before, and a page
 * that is loaded anew begins with the next customer.
 */
import { ORDER_LINES_MAX, UTTERANCE_CHARS_MAX } from '../../src/limits.ts';
import { formatMoney } from '../../src/money.ts';
import { button, el } from '../../src/screen.ts';
import type { Language } from '../phrases.ts';
import type { Shown, ShownOrder } from '../surface/screen.ts';
import { codePicture, sign } from './drawing.ts';
import { SIGN_OF } from './hud.ts';
import { type Words, wordsOf } from './words.ts';

/** Something on offer; minor units as decimal digits, for one. */
export type Offer = Readonly<{ text: string; minor: string }>;

/** What the person at the kiosk does. */
export type KioskDeeds = Readonly<{
  order: (lines: readonly Readonly<{ text: string; quantity: number; minor: string }>[]) => void;
  /** A line as the clerk types it; the empty one is the button. */
  clerk: (text: string) => void;
  clear: () => void;
}>;

export type Kiosk = Readonly<{
  element: HTMLElement;
  show: (shown: Shown) => void;
  state: (state: Readonly<{ isOnline: boolean; open: number }>) => void;
  /** The order whose code is on the screen and can be paid. */
  code: () => ShownOrder | undefined;
}>;

export function createKiosk(
  parts: Readonly<{
    language: Language;
    /** What the shop is called. */
    title: string;
    currency: string;
    offers: readonly Offer[];
    deeds: KioskDeeds;
  }>,
): Kiosk {
  const { language, title, currency, offers, deeds } = parts;
  const words = wordsOf(language);
  const money = (minor: bigint | string) =>
    formatMoney({ currency, minor: BigInt(minor) }, language);
  const chosen = new Map<Offer, number>();
  let shown: Shown = { kind: 'idle' };
  /** An order that the person has taken off the screen. */
  let hiddenOrder: string | undefined;

  const link = el('span', { class: 'dot' }, words.offline);
  const waiting = el('span', { class: 'quiet' });
  const place = el('div', { class: 'kiosk-place' });
  const note = el('p', { class: 'kiosk-note', role: 'status', 'aria-live': 'polite' });
  const desk = createDesk(words, deeds);
  const element = el(
    'div',
    { class: 'kiosk' },
    el('div', { class: 'kiosk-top' }, el('strong', {}, title), waiting, link),
    place,
    note,
    desk,
  );

  function code(): ShownOrder | undefined {
    return shown.kind === 'order' && shown.id !== hiddenOrder && shown.state === 'open'
      ? shown
      : undefined;
  }

  function draw(): void {
    const isHidden = shown.kind === 'order' && shown.id === hiddenOrder;
    const what = isHidden || shown.kind === 'say' ? 'idle' : shown.kind;
    element.dataset['kind'] = what;
    if (shown.kind === 'ask') place.replaceChildren(...question(shown, words, deeds));
    else if (shown.kind === 'bill') place.replaceChildren(...bill(shown, words, deeds));
    else if (shown.kind === 'order' && !isHidden) place.replaceChildren(...order(shown));
    else place.replaceChildren(shop());
    tell();
  }

  function tell(): void {
    const said =
      shown.kind === 'say'
        ? shown
        : shown.kind === 'order' || shown.kind === 'bill'
          ? shown.note
          : undefined;
    note.dataset['mood'] = said?.mood ?? 'plain';
    note.replaceChildren();
    if (said) note.append(sign(SIGN_OF[said.mood]), el('span', {}, said.sentence));
  }

  function shop(): HTMLElement {
    const items = offers.map((offer) => {
      const price = money(offer.minor);
      const one = button('', () => choose(offer, 1));
      one.classList.add('offer');
      one.dataset['stay'] = `add ${offer.text}`;
      one.append(el('span', {}, offer.text), ' ', el('b', {}, price));
      return one;
    });
    const total = [...chosen].reduce(
      (sum, [{ minor }, count]) => sum + BigInt(minor) * BigInt(count),
      0n,
    );
    const pay = button(words.payByCode, placeOrder, { kind: 'main' });
    const byTag = button(words.payByTag, () => {
      deeds.clerk(`collect ${formatMoney({ currency, minor: total }, 'en')}`);
      chosen.clear();
    });
    const basket = el(
      'div',
      { class: 'basket' },
      el('h4', {}, words.basket),
      chosen.size === 0
        ? el('p', { class: 'quiet' }, words.nothing)
        : el(
            'ul',
            { class: 'basket-lines' },
            ...[...chosen].map(([offer, count]) => line(offer, count)),
          ),
      chosen.size > 0 &&
        el('p', { class: 'basket-total' }, el('span', {}, words.total), el('b', {}, money(total))),
      chosen.size > 0 && el('div', { class: 'basket-pay' }, pay, byTag),
    );
    return el(
      'div',
      { class: 'shop' },
      el(
        'div',
        { class: 'offers', role: 'group', 'aria-label': words.menu },
        ...(items.length > 0 ? items : [el('p', { class: 'quiet' }, words.noCatalogue)]),
      ),
      basket,
    );
  }

  function line(offer: Offer, count: number): HTMLElement {
    const less = button('', () => choose(offer, -1));
    less.append(sign('minus'));
    less.setAttribute('aria-label', words.less(offer.text));
    less.dataset['stay'] = `less ${offer.text}`;
    const more = button('', () => choose(offer, 1));
    more.append(sign('plus'));
    more.setAttribute('aria-label', words.more(offer.text));
    more.dataset['stay'] = `more ${offer.text}`;
    return el(
      'li',
      {},
      el('span', {}, offer.text),
      el('span', { class: 'basket-count' }, less, el('b', {}, `${count}`), more),
      el('span', { class: 'basket-sum' }, money(BigInt(offer.minor) * BigInt(count))),
    );
  }

  function choose(offer: Offer, by: 1 | -1): void {
    const count = (chosen.get(offer) ?? 0) + by;
    if (count <= 0) chosen.delete(offer);
    else if (count <= COUNT_MAX && (chosen.has(offer) || chosen.size < ORDER_LINES_MAX)) {
      chosen.set(offer, count);
    }
    const pressed = document.activeElement;
    const stay = pressed instanceof HTMLElement ? pressed.dataset['stay'] : undefined;
    if (shown.kind === 'say') shown = { kind: 'idle' };
    draw();
    // What was pressed was drawn anew: whoever uses a keyboard stays where they were.
    const same = [...element.querySelectorAll<HTMLElement>('[data-stay]')];
    if (stay !== undefined) same.find(({ dataset }) => dataset['stay'] === stay)?.focus();
  }

  function placeOrder(): void {
    deeds.order(
      [...chosen].map(([{ text, minor }, quantity]) => {
        return { text, quantity, minor: String(BigInt(minor) * BigInt(quantity)) };
      }),
    );
    chosen.clear();
  }

  function order(one: ShownOrder): readonly HTMLElement[] {
    const { state, number, total } = one;
    const sum = formatMoney({ currency: total.currency, minor: BigInt(total.minor) }, language);
    const leave = () => {
      hiddenOrder = one.id;
      deeds.clear();
      draw();
    };
    const lines = el(
      'ul',
      { class: 'order-lines' },
      ...one.lines.map(({ text, quantity, total: minor }) =>
        el(
          'li',
          {},
          el('span', {}, `${quantity} × ${text}`),
          el('span', {}, formatMoney({ currency: total.currency, minor: BigInt(minor) }, language)),
        ),
      ),
    );
    const isOpen = state === 'open';
    const picture = isOpen
      ? codePicture(one.uri, words.codeOf(number))
      : el(
          'div',
          { class: 'order-end', 'data-state': state },
          sign(state === 'over' ? 'wrong' : 'done'),
        );
    const side = el('div', { class: 'order-side' });
    side.append(
      el('p', { class: 'quiet' }, words.order(number)),
      el('p', { class: 'order-total' }, sum),
      el('p', { class: 'order-state', 'data-state': state }, isOpen ? words.scan : words[state]),
      lines,
      button(isOpen ? words.back : words.next, leave),
    );
    const frame = el('div', { class: 'order-code' });
    frame.append(picture);
    return [el('div', { class: 'order', 'data-order': one.id, 'data-state': state }, frame, side)];
  }

  draw();
  return {
    element,
    show(now) {
      shown = now;
      draw();
    },
    state({ isOnline, open }) {
      link.textContent = isOnline ? words.online : words.offline;
      link.classList.toggle('on', isOnline);
      waiting.textContent = open > 0 ? words.waiting(open) : '';
    },
    code,
  };
}

const COUNT_MAX = 99;

function question(
  { frame, sentence }: Extract<Shown, { kind: 'ask' }>,
  words: Words,
  { clerk }: KioskDeeds,
): readonly HTMLElement[] {
  return [
    el(
      'div',
      { class: 'kiosk-ask' },
      el('p', { class: 'quiet' }, frame.payee),
      el('p', { class: 'order-total' }, frame.amount),
      el('ul', { class: 'order-lines' }, ...frame.lines.map((one) => el('li', {}, one))),
      el('p', { role: 'status', 'aria-live': 'assertive' }, sentence),
      el(
        'div',
        { class: 'basket-pay' },
        button(words.confirm, () => clerk(''), { kind: 'main' }),
        button(words.cancel, () => clerk('cancel')),
      ),
    ),
  ];
}

function bill(
  { line }: Extract<Shown, { kind: 'bill' }>,
  words: Words,
  { clerk }: KioskDeeds,
): readonly HTMLElement[] {
  const spot = el('div', { class: 'tag-spot' });
  spot.append(sign('tag'), el('span', {}, words.tapTag));
  return [
    el(
      'div',
      { class: 'kiosk-ask' },
      el('p', { class: 'order-total' }, line),
      spot,
      button(words.cancel, () => clerk('cancel')),
    ),
  ];
}

/** The clerk's line, out of the customer's way. */
function createDesk(words: Words, { clerk }: KioskDeeds): HTMLElement {
  const input = el('input', {
    'aria-label': words.staffLine,
    placeholder: words.staffHelp,
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: UTTERANCE_CHARS_MAX,
  });
  const form = el('form', { class: 'line' }, input, el('button', { type: 'submit' }, words.send));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    clerk(input.value.trim());
    input.value = '';
  });
  const summary = el('summary', {});
  summary.append(sign('staff'), el('span', {}, words.staff));
  return el(
    'details',
    { class: 'desk' },
    summary,
    form,
    el(
      'div',
      { class: 'desk-deeds' },
      button(words.refundLast, () => clerk('refund last')),
      button(words.stored, () => clerk('stored')),
    ),
  );
}
