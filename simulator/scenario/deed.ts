/** What people, kiosks and keys that pay alone can do. */
import { PIN_DIGITS_MAX, PIN_DIGITS_MIN } from '../../src/limits.ts';
import { readTemplate } from './reference.ts';
import { type Text, type Written, fieldsOf, textOf, unknown, wordOf } from './source.ts';
import { type About, type Verb, moneyOf } from './verb.ts';

export const sayVerb: Verb = {
  says: 'says a sentence to the own glasses',
  example: 'wang: { say: pay 12 yuan to Luckin Coffee }',
  gives: 'payment',
  read(value, { faults }) {
    const text = textOf(value, 'the sentence', faults);
    return text && { does: 'say', text: readTemplate(text, faults) };
  },
};

export const lookVerb: Verb = {
  says: 'looks at an order, or at whatever a kiosk shows',
  example: 'wang: { look: "${basket}" }',
  gives: 'payment',
  read(value, about) {
    const text = textOf(value, 'an order or a kiosk', about.faults);
    const at = text && orderOrKiosk(text, about);
    return at && { does: 'look', at };
  },
};

export const tapVerb: Verb = {
  says: 'taps an order or a shop’s sticker, or holds the own tag to a kiosk',
  example: 'wang: { tap: luckin 6.00 }',
  gives: 'payment',
  read(value, about) {
    const text = textOf(value, 'an order, a shop or a kiosk', about.faults);
    if (!text) return undefined;
    const [name = '', ...rest] = text.text.split(/\s+/);
    const isShop = about.cast.shops.some((shop) => shop.name === name);
    if (!isShop) {
      const at = orderOrKiosk(
        text,
        about,
        about.cast.shops.map((shop) => shop.name),
      );
      return at && { does: 'tap', at };
    }
    const amount = rest.length === 0 ? undefined : moneyOf(text, rest.join(' '), about);
    return rest.length > 0 && !amount ? undefined : { does: 'tap', at: { shop: name, amount } };
  },
};

export const confirmVerb: Verb = {
  says: 'gives the confirmation that is asked for, or a certain one',
  example: 'wang: confirm',
  read(value, { faults }) {
    if (value.kind === 'nothing') return { does: 'confirm', how: undefined };
    const how = wordOf(value, ['by voice', 'by press', 'with PIN'], 'a way to confirm', faults);
    return how && { does: 'confirm', how };
  },
};

export const pinVerb: Verb = {
  says: 'enters a PIN',
  example: 'wang: { pin: 4711 }',
  read(value, { faults }) {
    const text = textOf(value, 'a PIN', faults);
    if (!text) return undefined;
    if (new RegExp(`^\\d{${PIN_DIGITS_MIN},${PIN_DIGITS_MAX}}$`).test(text.text)) {
      return { does: 'pin', digits: text.text };
    }
    faults.tell(text.place, `a PIN is ${PIN_DIGITS_MIN} to ${PIN_DIGITS_MAX} digits`);
    return undefined;
  },
};

export const revokeVerb: Verb = {
  says: 'revokes with the wallet: the mandate of the own glasses, an agent, a tag, or everything',
  example: 'wang: { revoke: mandate }',
  read(value, { cast, actor, faults }) {
    const own = cast.people.find(({ name }) => name === actor);
    const known = [
      ...(own?.glasses === undefined ? [] : ['mandate']),
      ...cast.agents.filter(({ of }) => of === actor).map(({ name }) => name),
      ...Object.keys(own?.tags ?? {}),
      'everything',
    ];
    const what = wordOf(value, known, `something that ${actor} can revoke`, faults);
    return what === undefined ? undefined : { does: 'revoke', what };
  },
};

export const cloneVerb: Verb = {
  says: 'copies the disk of somebody’s glasses, and wears the copy from now on',
  example: 'mallory: { clone: wang-glasses }',
  read(value, { cast, actor, faults }) {
    const known = cast.people
      .filter(({ name }) => name !== actor)
      .flatMap(({ glasses }) => glasses ?? []);
    const machine = wordOf(value, known, 'somebody’s glasses', faults);
    const own = cast.people.find(({ name }) => name === actor);
    if (own?.glasses !== undefined) {
      faults.tell(value.place, `${actor} wears glasses already: say glasses: no in the site`);
    }
    return machine === undefined ? undefined : { does: 'clone', machine };
  },
};

export const orderVerb: Verb = {
  says: 'signs an order and shows its code',
  example: 'till: { order: { Latte: 20.00, 2 Muffin: 36.00 } }',
  gives: 'order',
  read(value, about) {
    if (value.kind === 'text') {
      const money = moneyOf(value, value.text, about);
      const line = { text: 'Goods', quantity: 1, total: money?.minor ?? 0n };
      return money && { does: 'order', lines: [line], currency: money.currency };
    }
    const { faults, cast } = about;
    if (value.kind !== 'fields' || value.entries.length === 0) {
      faults.tell(
        value.place,
        'an order is an amount, or lines with their totals: { Latte: 20.00 }',
      );
      return undefined;
    }
    let currency: string | undefined;
    const lines = value.entries.flatMap(({ name, value: total }) => {
      const text = textOf(total, 'the total of the line', faults);
      const money = text && moneyOf(text, text.text, about);
      if (!money) return [];
      currency ??= money.currency;
      if (money.currency !== currency) {
        faults.tell(text.place, `an order is in one currency, and this began in ${currency}`);
      }
      const [, count = '1', what = name] = /^(\d{1,3}) (?:× |x )?(.+)$/.exec(name) ?? [];
      return [{ text: what, quantity: Number(count), total: money.minor }];
    });
    return { does: 'order', lines, currency: currency ?? cast.currency };
  },
};

export const billVerb: Verb = {
  says: 'enters what is to be collected from whoever holds a tag to it',
  example: 'till: { bill: 12.00 }',
  read(value, about) {
    const text = textOf(value, 'an amount', about.faults);
    const amount = text && moneyOf(text, text.text, about);
    return amount && { does: 'bill', amount };
  },
};

export function deedVerb(does: 'refund' | 'capture' | 'release', says: string): Verb {
  const amounts = does === 'release' ? '' : ', amount: 18.00';
  return {
    says,
    example: `till: { ${does}: { order: "\${basket}"${amounts} } }`,
    gives: 'deed',
    read(value, about) {
      const { faults, refer } = about;
      if (value.kind === 'text') {
        const order = refer(value, 'order');
        return order === undefined ? undefined : { does, order, amount: undefined };
      }
      const names = does === 'release' ? (['order'] as const) : (['order', 'amount'] as const);
      const fields: Partial<Record<'order' | 'amount', { value: Written }>> = fieldsOf(
        value,
        names,
        `a ${does}`,
        faults,
      );
      const text = fields.order ? textOf(fields.order.value, 'an order', faults) : undefined;
      if (!fields.order) faults.tell(value.place, 'order is missing: which one?');
      const order = text && refer(text, 'order');
      const written = fields.amount && textOf(fields.amount.value, 'an amount', faults);
      const amount = written && moneyOf(written, written.text, about);
      if (order === undefined || (written && !amount)) return undefined;
      return { does, order, amount };
    },
  };
}

export const payVerb: Verb = {
  says: 'pays by itself, with nobody asked',
  example: 'butler: { pay: 5.00 to luckin }',
  gives: 'payment',
  read(value, about) {
    const { faults, cast } = about;
    const text = textOf(value, 'an amount and a shop, as 5.00 to luckin', faults);
    if (!text) return undefined;
    const [, sum, shop] = /^(.+?)\s+to\s+(\S+)$/.exec(text.text) ?? [];
    if (sum === undefined || shop === undefined) {
      faults.tell(text.place, `“${text.text}” is not as 5.00 to luckin`);
      return undefined;
    }
    const known = cast.shops.map(({ name }) => name);
    if (!known.includes(shop)) {
      faults.tell(text.placeOf(shop, 0), unknown(shop, 'a shop', known));
      return undefined;
    }
    const amount = moneyOf(text, sum, about);
    return amount && { does: 'pay', shop, amount };
  },
};

function orderOrKiosk(text: Text, about: About, more: readonly string[] = []) {
  const kiosk = about.cast.kiosks.find(({ name }) => name === text.text)?.name;
  if (kiosk !== undefined) return { kiosk };
  if (!text.text.startsWith('${')) {
    const known = [...about.cast.kiosks.map(({ name }) => name), ...more];
    const [word = ''] = text.text.split(/\s+/);
    about.faults.tell(
      text.place,
      `${unknown(word, 'anything here', known)} (an order is named as \${basket})`,
    );
    return undefined;
  }
  const order = about.refer(text, 'order');
  return order === undefined ? undefined : { order };
}
