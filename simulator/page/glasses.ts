/** The glasses: what their wearer sees, and everything that a wearer can do with them. */
import { sign } from '../../device/page/drawing.ts';
import { type Hud, createHud } from '../../device/page/hud.ts';
import { UTTERANCE_CHARS_MAX } from '../../src/limits.ts';
import { button, el } from '../../src/screen.ts';
import { type Bench, CODE_TYPE, type Panel, createTabs, dropPlace, panel, tagIn } from './bench.ts';
import { codeOf, frameOf, pictureOf } from './picture.ts';
import type { DeviceView, Event, SensedJson } from './wire.ts';

type Pair = Readonly<{
  hud: Hud;
  state: (state: Extract<Event, { kind: 'device' }>) => void;
}>;

/** `codeShown` is what the chosen kiosk shows now. */
export function createGlasses(bench: Bench, codeShown: () => string | undefined): Panel {
  const { words, ask } = bench;
  const place = el('div', { class: 'views' });
  const { element, head } = panel('glasses', words.glasses, place);
  const tabs = createTabs(place, words.glasses, (name) => (bench.chosen.glasses = name));
  const add = button('', () => void ask('add', { kind: 'glasses' }));
  add.append(sign('plus'));
  add.classList.add('round');
  add.setAttribute('aria-label', words.addGlasses);
  add.title = words.addGlasses;
  head.append(tabs.element, add);
  const pairs = new Map<string, Pair>();

  const sense = (device: string, sensed: SensedJson) => void ask('sense', { device, sensed });

  function create(view: DeviceView): Pair {
    const { name } = view;
    const hud = createHud(bench.language, (digits) => sense(name, { kind: 'pin', digits }));
    const away = el('p', { class: 'away' });
    const worn = button('', () => sense(name, { kind: 'worn', how: isWorn ? 'off' : 'on' }));
    let isWorn = true;
    const content = el(
      'div',
      { class: 'glasses', 'data-device': name },
      hud.element,
      away,
      el('div', { class: 'deeds' }, temple(name), worn),
      sentence(name),
      suggestions(name),
      sight(name),
    );
    if (view.pin !== undefined) content.append(el('p', { class: 'quiet' }, words.pinIs(view.pin)));
    dropPlace(content, (data) => {
      const tag = tagIn(data);
      const uri = data.getData(CODE_TYPE);
      if (tag) sense(name, { kind: 'tag', message: tag.message });
      else if (uri !== '') sense(name, { kind: 'picture', png: codeOf(uri) });
      else lookAt(name, data.files[0]);
    });
    content.addEventListener('paste', (event) => {
      const [file] = event.clipboardData?.files ?? [];
      if (file) lookAt(name, file);
    });
    tabs.add(name, content);
    return {
      hud,
      state({ isOnline, isWorn: now, open, life }) {
        isWorn = now;
        worn.textContent = now ? words.takeOff : words.putOn;
        hud.state({ isOnline: isOnline && life === 'up', isWorn: now, open });
        away.textContent =
          life === 'down' ? words.isDown : life === 'pairing' ? words.isPairing : '';
        tabs.mark(name, life === 'down' ? 'down' : isOnline ? 'on' : 'off');
      },
    };
  }

  /** A short touch is a press; held it calls off, as on the glasses themselves. */
  function temple(name: string): HTMLElement {
    const key = el('button', { type: 'button', class: 'main temple' });
    key.append(sign('tap'), el('span', {}, words.temple), el('small', {}, words.templeHold));
    let held: object | undefined;
    let wasHeld = false;
    const begin = () => {
      const own = (held = {});
      wasHeld = false;
      bench.world.after(HOLD_MS, () => {
        if (held !== own) return;
        wasHeld = true;
        held = undefined;
        sense(name, { kind: 'utterance', text: words.cancelWord });
      });
    };
    const end = () => (held = undefined);
    key.addEventListener('pointerdown', begin);
    for (const one of ['pointerup', 'pointerleave', 'pointercancel']) {
      key.addEventListener(one, end);
    }
    key.addEventListener('click', () => {
      if (!wasHeld) sense(name, { kind: 'press' });
      wasHeld = false;
    });
    return key;
  }

  function sentence(name: string): HTMLElement {
    const input = el('input', {
      'aria-label': words.say,
      placeholder: words.say,
      autocomplete: 'off',
      spellcheck: 'false',
      maxlength: UTTERANCE_CHARS_MAX,
    });
    const form = el('form', { class: 'line' }, input);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text !== '') sense(name, { kind: 'utterance', text });
      input.value = '';
    });
    form.append(microphone(input, form), el('button', { type: 'submit' }, words.sayIt));
    return form;
  }

  function microphone(input: HTMLInputElement, form: HTMLFormElement): HTMLElement {
    let isAgreed = false;
    const key = button('', async () => {
      const { recognise } = bench.senses;
      if (!recognise) return bench.tell(words.noMicrophone);
      isAgreed ||= await bench.sure(words.microphoneAsk, words.microphoneYes);
      if (!isAgreed) return;
      key.classList.add('hot');
      const heard = await recognise(bench.language).sentence;
      key.classList.remove('hot');
      if (heard === undefined) return bench.tell(words.heardNothing);
      input.value = heard;
      form.requestSubmit();
    });
    key.append(sign('voice'));
    key.setAttribute('aria-label', words.microphone);
    key.title = words.microphone;
    return key;
  }

  function suggestions(name: string): HTMLElement {
    const [payee] = bench.hello.payees;
    const amount = bench.money({ currency: bench.hello.currency, minor: '300' }).replace('.00', '');
    const texts = [
      ...(payee ? [words.sayPay(amount, bench.named(payee.names))] : []),
      words.sayConfirm,
      words.sayBalance,
      words.cancelWord,
    ];
    return el(
      'div',
      { class: 'chips', role: 'group', 'aria-label': words.suggestions },
      ...texts.map((text) => button(text, () => sense(name, { kind: 'utterance', text }))),
    );
  }

  /** What the glasses look at; besides this, pictures are dropped or pasted. */
  function sight(name: string): HTMLElement {
    const file = el('input', { type: 'file', class: 'unseen', tabindex: '-1' });
    file.accept = 'image/*';
    file.setAttribute('aria-label', words.picture);
    file.addEventListener('change', () => {
      lookAt(name, file.files?.[0]);
      file.value = '';
    });
    const kiosk = button(words.lookKiosk, () => {
      const uri = codeShown();
      if (uri === undefined) return bench.tell(words.noCode);
      sense(name, { kind: 'picture', png: codeOf(uri) });
    });
    kiosk.prepend(sign('look'));
    return el(
      'div',
      { class: 'sight' },
      kiosk,
      button(words.picture, () => file.click()),
      button(words.camera, () => look(name)),
      file,
      el('p', { class: 'quiet' }, words.dropHere),
    );
  }

  function lookAt(name: string, file: File | undefined): void {
    if (!file) return;
    void pictureOf(file).then(
      (png) => sense(name, { kind: 'picture', png }),
      () => bench.tell(words.noPicture),
    );
  }

  async function look(name: string): Promise<void> {
    const camera = await bench.senses.openCamera().catch(() => undefined);
    if (!camera) return bench.tell(words.noCamera);
    const dialog = el('dialog', { class: 'camera' });
    const end = () => {
      camera.close();
      dialog.remove();
    };
    const shoot = button(
      words.lookNow,
      () => {
        sense(name, { kind: 'picture', png: frameOf(camera.video) });
        end();
      },
      { kind: 'main' },
    );
    dialog.append(
      camera.video,
      el('p', { class: 'quiet' }, words.cameraStays),
      el('div', { class: 'sure-deeds' }, button(words.no, end), shoot),
    );
    dialog.addEventListener('cancel', end);
    document.body.append(dialog);
    dialog.showModal();
  }

  return {
    element,
    hear(event) {
      if (event.kind === 'device' && event.device.kind === 'glasses') {
        const { name } = event.device;
        if (!pairs.has(name)) pairs.set(name, create(event.device));
        pairs.get(name)!.state(event);
      } else if (event.kind === 'shown') pairs.get(event.device)?.hud.show(event.shown);
    },
  };
}

const HOLD_MS = 700;
