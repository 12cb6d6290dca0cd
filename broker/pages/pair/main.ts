/** The operator's pairing page: who waits, what it asks to be, approve or refuse; and devices. */
import { openWorld } from '../../../src/browser/world.ts';
import { type Brought, type Frame, type Session, startPage } from '../frame.ts';
import { button, card, el, field, show } from '../../../src/screen.ts';
import { approval } from './approval.ts';

startPage(openWorld(), (words) => words.pairing, run);

const LOOK_MS = 2_000;

/** A device that waits, as the bridge lists it. */
type Pending = Readonly<{
  code: string;
  key: string;
  role: 'bridge' | 'terminal' | 'device' | 'wallet' | 'agent';
  device: string;
  state: string;
  ageS: number;
  address: string;
}>;

type Key = Readonly<{
  name: string;
  status: 'active' | 'suspended' | 'revoked';
  role: 'bridge' | 'terminal' | 'device' | 'wallet' | 'agent';
  device?: string;
  payee?: string;
  terminal?: string;
  online?: boolean;
}>;

function run(frame: Frame, session: Session | undefined, brought: Brought): void {
  const { words, main } = frame;
  const { pairing } = brought;
  if (session?.role === 'wearer') {
    // The code on glasses leads here; to its wearer the wallet is the place.
    frame.world.go(`/wallet${pairing === undefined ? '' : `#${pairing}`}`);
    return;
  }
  if (session) return home(frame, session.by, pairing);
  show(
    main,
    el('h1', {}, words.loginNeeded),
    card(
      words.pairing,
      el('p', {}, words.operatorLogin),
      el('pre', {}, el('code', {}, 'saytap invite operator --config bridge.yaml --by NAME')),
      el('p', {}, words.wearerHere),
    ),
  );
}

function home(frame: Frame, by: string, named?: string): void {
  const { words, main, world } = frame;
  const back = () => home(frame, by);
  if (named !== undefined) return void approval(frame, named, back);

  const waiting = el('ul', { class: 'list', id: 'waiting' });
  const devices = el('ul', { class: 'list', id: 'devices' });
  let latest = '';
  const input = el('input', {
    id: 'short',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 13,
    placeholder: 'XXXXX-XXXXX',
  });
  const find = () => void approval(frame, input.value.trim(), back);
  input.addEventListener('keydown', ({ key }) => key === 'Enter' && find());
  show(
    main,
    el('h1', {}, words.waiting),
    el('p', { class: 'quiet' }, words.loggedInAs(by)),
    card(words.waiting, waiting),
    card(
      words.shortCode,
      field(words.shortCode, input, words.shortHelp),
      button(words.find, find, { id: 'find' }),
    ),
    card(words.devices, devices),
  );
  look();

  function look(): void {
    if (!waiting.isConnected) return;
    if (document.hidden) return world.after(LOOK_MS, look);
    void Promise.all([world.ask('pending'), everyKey()]).then(([pending, keys]) => {
      if (pending.ok && keys && waiting.isConnected) draw(pending.value as Pending[], keys);
      world.after(LOOK_MS, look);
    });
  }

  async function everyKey(): Promise<readonly Key[] | undefined> {
    const all: Key[] = [];
    for (let after: string | undefined = ''; after !== undefined;) {
      const answer = await world.ask('devices', { after });
      if (!answer.ok) return undefined;
      const page = answer.value as Readonly<{ next?: string; keys: readonly Key[] }>;
      all.push(...page.keys);
      after = page.next;
    }
    return all;
  }

  function draw(pending: readonly Pending[], keys: readonly Key[]): void {
    const now = JSON.stringify([pending.map(({ ageS: _, ...rest }) => rest), keys]);
    if (now === latest) return;
    latest = now;
    const rows = pending.map((one) =>
      el(
        'li',
        { 'data-waiting': one.key },
        el(
          'div',
          { class: 'row' },
          el(
            'div',
            {},
            el('h3', {}, one.code),
            el('span', { class: 'quiet' }, words.asksAs(words.roles[one.role], one.device)),
          ),
          button(words.lookAt, () => void approval(frame, one.code, back)),
        ),
      ),
    );
    const none = el('li', { class: 'quiet' }, words.noneWaiting);
    waiting.replaceChildren(...(rows.length === 0 ? [none] : rows));
    devices.replaceChildren(...keys.filter(({ role }) => role !== 'wallet').map(deviceRow));
  }

  function deviceRow({
    name,
    status,
    role,
    device = '',
    payee,
    terminal,
    online,
  }: Key): HTMLElement {
    const isOut = status !== 'active';
    const state = isOut
      ? status === 'revoked'
        ? words.blocked
        : words.suspended
      : online === undefined
        ? ''
        : online
          ? words.online
          : words.offline;
    const place = payee === undefined ? '' : ` · ${payee} / ${terminal}`;
    return el(
      'li',
      { class: isOut ? 'over' : 'open', 'data-device': device },
      el(
        'div',
        { class: 'row' },
        el(
          'div',
          {},
          el('h3', {}, device),
          el(
            'span',
            { class: online && !isOut ? 'quiet dot on' : 'quiet dot' },
            `${state}${state === '' ? '' : ' · '}${words.roles[role]}${place}`,
          ),
        ),
        !isOut && button(words.lost, () => block(name, device), { kind: 'grave' }),
      ),
    );
  }

  async function block(name: string, device: string): Promise<void> {
    if (!(await frame.sure(words.blockAsk(device), words.block))) return;
    await frame.ask('block', { name });
    latest = '';
  }
}
