/** The kiosk: its own screen, as a real one shows it, and the tags that lie on its counter. */
import { sign } from '../../device/page/drawing.ts';
import { type Kiosk, createKiosk } from '../../device/page/kiosk.ts';
import { button, el } from '../../src/screen.ts';
import {
  type Bench,
  CODE_TYPE,
  type Panel,
  TAG_TYPE,
  createTabs,
  dropPlace,
  panel,
  tagIn,
} from './bench.ts';
import type { DeviceView, Event, TagView } from './wire.ts';

type Counter = Readonly<{
  kiosk: Kiosk;
  show: (event: Extract<Event, { kind: 'shown' }>) => void;
  state: (event: Extract<Event, { kind: 'device' }>) => void;
}>;

export function createKiosks(bench: Bench): Panel & Readonly<{ code: () => string | undefined }> {
  const { words, ask, hello } = bench;
  const place = el('div', { class: 'views' });
  const { element, head } = panel('kiosk', words.kiosk, place);
  const tabs = createTabs(place, words.kiosk, (name) => (bench.chosen.kiosk = name));
  const add = button('', () => void ask('add', { kind: 'kiosk' }));
  add.append(sign('plus'));
  add.classList.add('round');
  add.setAttribute('aria-label', words.addKiosk);
  add.title = words.addKiosk;
  head.append(tabs.element, add);
  const counters = new Map<string, Counter>();

  function create(view: DeviceView): Counter {
    const { name } = view;
    const payee = hello.payees.find(({ id }) => id === view.payee);
    const kiosk = createKiosk({
      language: bench.language,
      title: payee ? bench.named(payee.names) : name,
      currency: hello.currency,
      offers: hello.catalogue.map(({ names, minor }) => ({ text: bench.named(names), minor })),
      deeds: {
        order: (lines) => void ask('order', { kiosk: name, lines }),
        clerk: (text) => void ask('clerk', { kiosk: name, text }),
        clear: () => {},
      },
    });
    const deck = createDeck(bench, name);
    const away = el('p', { class: 'away' });
    const content = el(
      'div',
      { class: 'counter', 'data-device': name },
      el('div', { class: 'bezel' }, kiosk.element),
      away,
      deck.element,
    );
    kiosk.element.addEventListener('dragstart', (event) => {
      const code = kiosk.code();
      if (!code || !event.dataTransfer) return event.preventDefault();
      event.dataTransfer.setData(CODE_TYPE, code.uri);
    });
    dropPlace(content, (data) => {
      const tag = tagIn(data);
      if (tag) void ask('sense', { device: name, sensed: { kind: 'tag', message: tag.message } });
    });
    tabs.add(name, content);
    deck.renew();
    return {
      kiosk,
      show({ shown }) {
        kiosk.show(shown);
        // The element, and not a picture in it, so that it is dragged as it is seen.
        const code = kiosk.element.querySelector<HTMLElement>('.order-code');
        if (code && kiosk.code()) code.draggable = true;
        if (shown.kind !== 'say') deck.renew();
      },
      state({ isOnline, open, life }) {
        kiosk.state({ isOnline: isOnline && life === 'up', open });
        away.textContent =
          life === 'down' ? words.isDown : life === 'pairing' ? words.isPairing : '';
        tabs.mark(name, life === 'down' ? 'down' : isOnline ? 'on' : 'off');
        if (life === 'up') deck.renew();
      },
    };
  }

  return {
    element,
    code() {
      const { kiosk } = bench.chosen;
      return kiosk === undefined ? undefined : counters.get(kiosk)?.kiosk.code()?.uri;
    },
    hear(event) {
      if (event.kind === 'device' && event.device.kind === 'kiosk') {
        const { name } = event.device;
        if (!counters.has(name)) counters.set(name, create(event.device));
        counters.get(name)!.state(event);
      } else if (event.kind === 'shown') counters.get(event.device)?.show(event);
    },
  };
}

/**
 * Tags to drag onto a device. A click taps one where it belongs: a payer's on the kiosk, any other
 * on the glasses; so nobody has to drag.
 */
function createDeck(bench: Bench, kiosk: string) {
  const { words, ask } = bench;
  const list = el('div', { class: 'chips tags' });
  const element = el(
    'div',
    { class: 'deck', role: 'group', 'aria-label': words.deck },
    el('h3', {}, words.deck),
    list,
    el('p', { class: 'quiet' }, words.deckHow),
  );
  let isAsking = false;
  let isStale = false;
  let latest = '';

  function chip(tag: TagView): HTMLElement {
    const isPayer = tag.kind === 'payer';
    const one = button('', () => {
      const device = isPayer ? kiosk : bench.chosen.glasses;
      if (device === undefined) return;
      void ask('sense', { device, sensed: { kind: 'tag', message: tag.message } });
    });
    one.append(sign('tag'), el('span', {}, words.tags[tag.kind]));
    one.dataset['tag'] = tag.kind;
    one.title = isPayer ? words.tapOnKiosk : words.tapOnGlasses;
    one.draggable = true;
    one.addEventListener('dragstart', (event) => {
      event.dataTransfer?.setData(TAG_TYPE, JSON.stringify(tag));
    });
    return one;
  }

  async function read(): Promise<void> {
    const answer = await bench.world.ask('tags', { kiosk });
    if (!answer.ok) return;
    const { tags } = answer.value as { tags: readonly TagView[] };
    const now = JSON.stringify(tags);
    if (now === latest) return;
    latest = now;
    list.replaceChildren(...tags.map(chip));
  }

  /** Reads the tags again; never twice at once, and never misses the last change. */
  function renew(): void {
    if (isAsking) {
      isStale = true;
      return;
    }
    isAsking = true;
    void read().finally(() => {
      isAsking = false;
      if (!isStale) return;
      isStale = false;
      bench.world.after(RENEW_MS, renew);
    });
  }
  return { element, renew };
}

const RENEW_MS = 300;
