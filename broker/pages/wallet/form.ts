/**
 * The form of a mandate, with the text that is signed always below it: what is on the screen when
 * the button is pressed is what is signed, byte for byte.
 */
import { type Grant, grantText } from '../../../src/wallet.ts';
import type { Frame } from '../frame.ts';
import { el, field } from '../../../src/screen.ts';
import { type Around, USUAL, type Wish, grantOf } from './grant.ts';

/** Whoever may be paid, by the name that the root gave it. */
export type Seller = Readonly<{
  payee: string;
  names?: readonly (readonly [language: string, name: string])[] | undefined;
}>;

export type LimitsForm = Readonly<{
  element: HTMLElement;
  /** The grant whose text is on the screen now, and that text; undefined while a field is wrong. */
  shown: () => Readonly<{ grant: Grant; text: string }> | undefined;
}>;

export function limitsForm(
  { words, language }: Frame,
  around: Around,
  sellers: readonly Seller[],
): LimitsForm {
  let shown: Readonly<{ grant: Grant; text: string }> | undefined;
  const text = el('div', { class: 'signed', id: 'text', tabindex: '0' });
  const fault = el('p', { class: 'fault', role: 'alert' });
  const input = (name: keyof Wish, mode: 'decimal' | 'numeric') => {
    const control = el('input', {
      id: name,
      inputmode: mode,
      autocomplete: 'off',
      maxlength: 20,
      value: String(USUAL[name]),
    });
    control.addEventListener('input', draw);
    return control;
  };
  const controls = {
    perPayment: input('perPayment', 'decimal'),
    perDay: input('perDay', 'decimal'),
    total: input('total', 'decimal'),
    byVoice: input('byVoice', 'decimal'),
    timesPerDay: input('timesPerDay', 'numeric'),
    days: input('days', 'numeric'),
  };
  const boxes = sellers.map((seller, at) => {
    const box = el('input', { type: 'checkbox', id: `payee-${at}`, value: seller.payee });
    box.addEventListener('change', draw);
    return box;
  });
  const nameOf = (payee: string) =>
    sellerName(sellers.find((one) => one.payee === payee) ?? { payee }, language);

  function draw(): void {
    const payees = boxes.filter(({ checked }) => checked).map(({ value }) => value);
    const typed = Object.entries(controls).map(([name, { value }]) => [name, value]);
    const read = grantOf({ ...(Object.fromEntries(typed) as Wish), payees }, around);
    const wrong = 'fault' in read ? read.fault : undefined;
    for (const [name, control] of Object.entries(controls)) {
      control.setAttribute('aria-invalid', String(wrong?.field === name));
    }
    fault.textContent = wrong ? `${words[wrong.field]}: ${words.faults[wrong.kind]}` : '';
    shown =
      'grant' in read
        ? { grant: read.grant, text: grantText(read.grant, language, nameOf) }
        : undefined;
    text.textContent = shown?.text ?? '…';
  }

  const unit = around.currency;
  const element = el(
    'div',
    {},
    el(
      'div',
      { class: 'fields' },
      field(`${words.perPayment} (${unit})`, controls.perPayment),
      field(`${words.perDay} (${unit})`, controls.perDay),
      field(`${words.total} (${unit})`, controls.total),
      field(words.timesPerDay, controls.timesPerDay),
      field(`${words.byVoice} (${unit})`, controls.byVoice, words.byVoiceHelp),
      field(words.days, controls.days),
    ),
    boxes.length > 0 &&
      el(
        'fieldset',
        {},
        el('legend', {}, words.payees),
        ...boxes.map((box, at) =>
          el(
            'label',
            { class: 'choice', for: box.id },
            box,
            el('span', {}, sellerName(sellers[at]!, language)),
          ),
        ),
        el('small', {}, words.anywhere),
      ),
    fault,
    el('h3', {}, words.youSign),
    text,
  );
  draw();
  return { element, shown: () => shown };
}

/** The name in the person's language, and the id that is signed, so that no two look alike. */
export function sellerName({ payee, names = [] }: Seller, language: string): string {
  const [, name] = names.find(([one]) => one.startsWith(language)) ?? names[0] ?? [];
  return name === undefined ? payee : `${name} (${payee})`;
}
