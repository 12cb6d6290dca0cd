/**
 * What a page is drawn with: elements out of names, properties and children.
 *
 * Text only ever becomes text (never markup), so what a device proposes, or a payee calls itself,
 * cannot become part of the page.
 */

export type Child = Node | string | false | undefined;
type Properties = Readonly<{
  [name: `aria-${string}` | `data-${string}`]: string;
  class?: string;
  id?: string;
  for?: string;
  role?: string;
  lang?: string;
  type?: string;
  name?: string;
  value?: string | number;
  max?: string | number;
  min?: string | number;
  step?: string | number;
  maxlength?: number;
  rows?: number;
  pattern?: string;
  inputmode?: string;
  autocomplete?: string;
  placeholder?: string;
  tabindex?: string;
  spellcheck?: 'false';
  href?: string;
  title?: string;
  required?: boolean;
  checked?: boolean;
  disabled?: boolean;
  selected?: boolean;
  readonly?: boolean;
  open?: boolean;
}>;

/** An element; a property that is false or undefined is left out. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === undefined) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
}

/**
 * A button; while `run` works it can not be pressed again. It is not disabled for that long, since
 * whoever uses a keyboard would lose their place on the page.
 */
export function button(
  label: string,
  run: () => void | Promise<void>,
  { kind = 'plain', id }: Readonly<{ kind?: 'plain' | 'main' | 'grave'; id?: string }> = {},
): HTMLButtonElement {
  const element = el('button', { type: 'button', class: kind, ...(id && { id }) }, label);
  let isBusy = false;
  element.addEventListener('click', () => {
    if (isBusy) return;
    const work = run();
    if (!work) return;
    isBusy = true;
    element.setAttribute('aria-disabled', 'true');
    void work.finally(() => {
      isBusy = false;
      element.removeAttribute('aria-disabled');
    });
  });
  return element;
}

/** A labelled control, with a word of help below it. */
export function field(label: string, control: HTMLElement, help?: string): HTMLElement {
  const { id } = control;
  if (help !== undefined) control.setAttribute('aria-describedby', `${id}-help`);
  return el(
    'p',
    { class: 'field' },
    el('label', { for: id }, label),
    control,
    help !== undefined && el('small', { id: `${id}-help` }, help),
  );
}

/** A part of the page under a heading. */
export function card(title: string, ...children: readonly Child[]): HTMLElement {
  return el('section', { class: 'card' }, el('h2', {}, title), ...children);
}

/** Puts a screen in place and the reading position at its heading. */
export function show(place: HTMLElement, ...children: readonly Child[]): void {
  place.replaceChildren(...children.filter((child) => child !== false && child !== undefined));
  const heading = place.querySelector<HTMLElement>('h1');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus();
}
