/**
 * The operator's decision about one device. What the device proposes only fills the fields; what is
 * enrolled is what stands in them when the button is pressed.
 */
import type { Frame } from '../frame.ts';
import { button, card, el, field, show } from '../../../src/screen.ts';

type Role = 'bridge' | 'terminal' | 'device' | 'wallet' | 'agent';
type Waiting = Readonly<{
  code: string;
  role: Role;
  device: string;
  hasPairing: boolean;
  state: 'open' | 'unsigned' | 'refused' | 'enrolled';
}>;

const OFFERED = ['device', 'terminal', 'agent'] as const;

/** Shows who asks; ends with `back`, whatever was decided. */
export async function approval(frame: Frame, named: string, back: () => void): Promise<void> {
  const { words, main } = frame;
  const waiting = await frame.ask<Waiting>('waiting', { named });
  if (!waiting) return back();

  const text = (id: string, value = '', most = 64) =>
    el('input', { id, value, maxlength: most, autocomplete: 'off', spellcheck: 'false' });
  const role = el(
    'select',
    { id: 'role' },
    ...OFFERED.map((one) =>
      el('option', { value: one, selected: one === waiting.role }, words.roles[one]),
    ),
  );
  const device = text('device', waiting.device);
  const payer = text('payer', '', 32);
  // Never filled from what the device says: these decide who receives money.
  const payee = text('payee');
  const terminal = text('terminal');
  const nameEn = text('name-en', '', 160);
  const nameZh = text('name-zh', '', 160);
  const category = text('category', '', 4);
  const ofTill = el(
    'div',
    { id: 'till', class: 'fields' },
    field(words.payee, payee, words.payeeHelp),
    field(words.terminal, terminal, words.terminalHelp),
    field(words.nameEn, nameEn),
    field(words.nameZh, nameZh),
    field(words.category, category, words.categoryHelp),
  );
  const ofPerson = field(words.payer, payer, words.payerHelp);
  const draw = () => {
    ofTill.hidden = role.value !== 'terminal';
    ofPerson.hidden = role.value === 'terminal';
  };
  role.addEventListener('change', draw);
  draw();

  async function approve(): Promise<void> {
    const names = [
      ['en', nameEn.value.trim()],
      ['zh', nameZh.value.trim()],
    ].filter(([, name]) => name !== '');
    const said = {
      role: role.value,
      device: device.value.trim(),
      ...(role.value === 'terminal'
        ? {
            payee: payee.value.trim(),
            terminal: terminal.value.trim(),
            names,
            ...(category.value.trim() !== '' && { category: Number(category.value) }),
          }
        : payer.value.trim() !== '' && { payer: payer.value.trim().toLowerCase() }),
    };
    const done = await frame.ask<Waiting>('approve', { named, said });
    if (!done) return;
    frame.tell(done.state === 'enrolled' ? words.paired(said.device) : words.approvedWaits);
    back();
  }

  async function refuse(): Promise<void> {
    if (await frame.ask('refuse', { named })) frame.tell(words.refusedDevice);
    back();
  }

  show(
    main,
    el('h1', {}, words.asksAs(words.roles[waiting.role], waiting.device)),
    card(
      words.shortCode,
      el('output', { class: 'code', id: 'code' }, waiting.code),
      el('p', {}, words.compare),
      named.length === 64 && el('p', { class: 'quiet' }, words.byScan),
    ),
    card(
      words.approve,
      el('p', { class: 'quiet' }, words.operatorWarn),
      el(
        'div',
        { class: 'fields' },
        field(words.role, role),
        field(words.deviceName, device, words.deviceNameHelp),
      ),
      ofTill,
      ofPerson,
    ),
    button(words.approve, approve, { kind: 'main', id: 'approve' }),
    el(
      'p',
      { class: 'row' },
      button(words.back, back),
      button(words.refuse, refuse, { kind: 'grave', id: 'refuse' }),
    ),
  );
}
