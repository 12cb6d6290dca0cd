/**
 * Who takes part in a scenario: people with their glasses, accounts and tags, shops with their
 * kiosks, keys that pay alone, and the policies. Everything that a day does not need to say has a
 * usual value, so that most files name two people and a shop.
 *
 * What a mandate and an offline policy may say are the very fields of `saytap mandate create
 * --terms` and of `saytap root sign policy`: who has written one has learned the other.
 */
import { PaymentError } from '../../src/errors.ts';
import { PIN_DIGITS_MAX, PIN_DIGITS_MIN, SCENARIO_CAST_MAX } from '../../src/limits.ts';
import { CURRENCIES, parseDecimal } from '../../src/money.ts';
import type { Terms } from '../../src/terms.ts';
import { readMandate } from './grant.ts';
import { type Wall, wallOf } from './moment.ts';
import { policyOf } from './rule.ts';
import {
  type Entry,
  type Faults,
  type Place,
  type Written,
  fieldsOf,
  textOf,
  unknown,
  wordOf,
} from './source.ts';
import { USUAL_AGENT, USUAL_MANDATE, USUAL_TAG } from './usual.ts';

export type Language = 'en' | 'zh';

export type Shop = Readonly<{
  name: string;
  /** What people are shown and say, by language. */
  names: readonly (readonly [Language, string])[];
  category: number;
}>;

export type KioskRole = Readonly<{ name: string; shop: string; language: Language }>;

export type PersonRole = Readonly<{
  name: string;
  language: Language;
  /** What the account holds when the day begins, minor units. */
  account: bigint;
  /** The name of the glasses' machine; undefined for whoever wears none. */
  glasses: string | undefined;
  mandate: Terms;
  pin: string | undefined;
  /** What kiosks may collect under when this person holds the tag to them. */
  tags: Readonly<Record<string, Terms>>;
}>;

/** A key that pays alone, under a mandate of a person. */
export type AgentRole = Readonly<{ name: string; of: string; mandate: Terms }>;

export type Cast = Readonly<{
  currency: string;
  zone: string;
  startMs: number;
  shops: readonly Shop[];
  kiosks: readonly KioskRole[];
  people: readonly PersonRole[];
  agents: readonly AgentRole[];
  /** The platform's policy as an operator writes it, YAML. */
  policy: string;
}>;

/** The account of a person at the ledger. */
export function fundingOf(person: string): string {
  return `acct-${person}`;
}

/** Names that are taken by what every world has. */
export const PARTS = Object.freeze(['network', 'broker', 'bridge', 'risk', 'ledger'] as const);

const SITE = [
  'currency',
  'zone',
  'shops',
  'kiosks',
  'people',
  'agents',
  'policy',
  'offline',
] as const;
const START = '2026-06-15 09:00';

/** Reads `site:` (and `starts:`, which needs its zone); every fault is told. */
export function readCast(site: Written, starts: Entry | undefined, faults: Faults): Cast {
  const fields = fieldsOf(site, SITE, 'a site', faults);
  const currency = read(fields.currency, readCurrency) ?? 'CNY';
  const zone = read(fields.zone, readZone) ?? 'Asia/Shanghai';
  const startMs = read(starts, (value) => readStart(value, zone)) ?? wallOf(START, zone)!.ms;
  const names = new Map<string, Place>();
  const shops = fields.shops
    ? roles(fields.shops, 'a shop', readShop)
    : [
        {
          name: 'luckin',
          names: [['en', 'Luckin Coffee'] as const, ['zh', '瑞幸咖啡'] as const],
          category: 5814,
        },
      ];
  const rules = { currency, zone, startMs, shops, faults };
  const kiosks = fields.kiosks
    ? roles(fields.kiosks, 'a kiosk', readKiosk)
    : [{ name: 'till', shop: shops[0]?.name ?? '', language: 'en' as const }];
  const people = fields.people
    ? roles(fields.people, 'a person', readPerson)
    : [usualPerson('wang')];
  const agents = fields.agents ? roles(fields.agents, 'an agent', readAgent) : [];
  for (const { name, place } of machines()) take(name, place);
  const policy = policyOf(fields.policy, fields.offline, { currency, startMs, faults });
  return Object.freeze({ currency, zone, startMs, shops, kiosks, people, agents, policy });

  function read<T>(entry: Entry | undefined, how: (value: Written) => T | undefined) {
    return entry && how(entry.value);
  }

  function readCurrency(value: Written): string | undefined {
    const text = textOf(value, 'a currency', faults);
    if (!text || CURRENCIES.includes(text.text)) return text?.text;
    faults.tell(text.place, unknown(text.text, 'an ISO 4217 currency in use', CURRENCIES));
    return undefined;
  }

  function readZone(value: Written): string | undefined {
    const text = textOf(value, 'a time zone', faults);
    if (!text || wallOf(START, text.text)) return text?.text;
    faults.tell(text.place, `“${text.text}” is no time zone known here, as Asia/Shanghai`);
    return undefined;
  }

  function readStart(value: Written, inZone: string): number | undefined {
    const text = textOf(value, 'the start of the day', faults);
    const wall: Wall | undefined = text && wallOf(text.text, inZone);
    if (text && !wall) faults.tell(text.place, `“${text.text}” is no date and time, as ${START}`);
    return wall?.ms;
  }

  /** Several of one kind by their names, or a list of names that have nothing special. */
  function roles<T>(entry: Entry, what: string, how: (name: string, value: Written) => T): T[] {
    const { value } = entry;
    const found: T[] = [];
    const add = (name: string, place: Place, about: Written) => {
      if (!take(name, place)) return;
      found.push(how(name, about));
    };
    if (value.kind === 'list') {
      for (const item of value.items) {
        const text = textOf(item, `the name of ${what}`, faults);
        if (text) add(text.text, text.place, { kind: 'nothing', place: text.place });
      }
    } else if (value.kind === 'fields') {
      for (const { name, place, value: about } of value.entries) add(name, place, about);
    } else {
      faults.tell(value.place, `${entry.name} is missing: a list of names, or fields by name`);
    }
    if (found.length > SCENARIO_CAST_MAX) {
      faults.tell(entry.place, `more than ${SCENARIO_CAST_MAX}: a day is told of a few`);
    }
    return found;
  }

  /** Every name is one word of its own, because steps begin with it. */
  function take(name: string, place: Place): boolean {
    if (!NAME.test(name)) {
      faults.tell(
        place,
        `“${name}” is no name: lower case letters, digits and -, as wang or till-2`,
      );
      return false;
    }
    const other = names.get(name);
    const isTaken = [...PARTS, ...RESERVED].some((word) => word === name);
    if (other) faults.tell(place, `${name} is named already, in line ${other.line}`);
    else if (isTaken) faults.tell(place, `${name} has a meaning of its own: choose another name`);
    else names.set(name, place);
    return !other && !isTaken;
  }

  function machines() {
    return people.flatMap(({ glasses, name }) => {
      const place = names.get(name);
      return glasses !== undefined && place ? [{ name: glasses, place }] : [];
    });
  }

  function readShop(name: string, value: Written): Shop {
    const about = value.kind === 'text' ? {} : fieldsOf(value, SHOP, 'a shop', faults);
    const said =
      value.kind === 'text'
        ? value.text
        : about.name && textOf(about.name.value, 'its name', faults)?.text;
    const zh = about.zh && textOf(about.zh.value, 'its name', faults)?.text;
    const code = about.category && textOf(about.category.value, 'a category', faults);
    if (code && !/^\d{4}$/.test(code.text)) {
      faults.tell(code.place, `“${code.text}” is no category: four digits, as 5814`);
    }
    return {
      name,
      names: [['en', said ?? titled(name)], ...(zh === undefined ? [] : [['zh', zh] as const])],
      category: code && /^\d{4}$/.test(code.text) ? Number(code.text) : 5814,
    };
  }

  function readKiosk(name: string, value: Written): KioskRole {
    const about = fieldsOf(value, ['shop', 'language'], 'a kiosk', faults);
    const known = shops.map((shop) => shop.name);
    const shop = about.shop
      ? wordOf(about.shop.value, known, 'a shop', faults)
      : known.length === 1
        ? known[0]
        : undefined;
    if (!about.shop && known.length > 1) {
      faults.tell(value.place, `shop is missing: whose kiosk is it? There is ${known.join(', ')}`);
    }
    return { name, shop: shop ?? '', language: languageOf(about.language) };
  }

  function readPerson(name: string, value: Written): PersonRole {
    const about = fieldsOf(value, PERSON, 'a person', faults);
    const glasses =
      about.glasses &&
      wordOf(about.glasses.value, ['yes', 'no'], 'whether there are glasses: yes or no', faults);
    const usual = usualPerson(name);
    const pin = about.pin && textOf(about.pin.value, 'a PIN', faults);
    const isPin = pin && DIGITS.test(pin.text);
    if (pin && !isPin) {
      faults.tell(pin.place, `a PIN is ${PIN_DIGITS_MIN} to ${PIN_DIGITS_MAX} digits`);
    }
    return {
      name,
      language: languageOf(about.language),
      account: about.account ? (amountOf(about.account.value) ?? usual.account) : usual.account,
      glasses: glasses === 'no' ? undefined : usual.glasses,
      mandate: about.mandate ? readMandate(about.mandate, USUAL_MANDATE, rules) : USUAL_MANDATE,
      pin: isPin ? pin.text : undefined,
      tags: about.tags ? readTags(about.tags) : {},
    };
  }

  function readAgent(name: string, value: Written): AgentRole {
    const about = fieldsOf(value, ['of', 'mandate'], 'an agent', faults);
    const known = people.map((person) => person.name);
    const of = about.of
      ? wordOf(about.of.value, known, 'a person', faults)
      : known.length === 1
        ? known[0]
        : undefined;
    if (!about.of && known.length > 1) {
      faults.tell(value.place, `of is missing: whose money is it? There is ${known.join(', ')}`);
    }
    const mandate = about.mandate ? readMandate(about.mandate, USUAL_AGENT, rules) : USUAL_AGENT;
    return { name, of: of ?? '', mandate };
  }

  function readTags(entry: Entry): Readonly<Record<string, Terms>> {
    const known = kiosks.map((kiosk) => kiosk.name);
    const tags: Record<string, Terms> = {};
    const { value } = entry;
    const wanted =
      value.kind === 'list' ? value.items.map((item) => [item, undefined] as const) : [];
    for (const [item] of wanted) {
      const kiosk = wordOf(item, known, 'a kiosk', faults);
      if (kiosk) tags[kiosk] = USUAL_TAG;
    }
    if (value.kind === 'fields') {
      for (const one of value.entries) {
        if (known.includes(one.name)) tags[one.name] = readMandate(one, USUAL_TAG, rules);
        else faults.tell(one.place, unknown(one.name, 'a kiosk', known));
      }
    } else if (value.kind !== 'list') {
      faults.tell(
        value.place,
        'tags are a list of kiosks, or kiosks with what a tag may pay there',
      );
    }
    return tags;
  }

  function languageOf(entry: Entry | undefined): Language {
    if (!entry) return 'en';
    return wordOf(entry.value, ['en', 'zh'], 'a language', faults) ?? 'en';
  }

  function amountOf(value: Written): bigint | undefined {
    const text = textOf(value, 'an amount', faults);
    if (!text) return undefined;
    try {
      return parseDecimal(text.text, currency);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      faults.tell(text.place, `“${text.text}” is ${error.message}, as 12.50`);
      return undefined;
    }
  }
}

function usualPerson(name: string): PersonRole {
  return {
    name,
    language: 'en',
    account: 1_000_00n,
    glasses: `${name}-glasses`,
    mandate: USUAL_MANDATE,
    pin: undefined,
    tags: {},
  };
}

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const DIGITS = new RegExp(`^\\d{${PIN_DIGITS_MIN},${PIN_DIGITS_MAX}}$`);
/** Fields of a step, which therefore are nobody's name. */
const RESERVED = [
  ...['at', 'as', 'expect', 'note', 'wait', 'for', 'within', 'told', 'shown', 'left'],
  ...['receipts', 'waiting', 'payments', 'online', 'operator', 'glasses', 'mandate'],
];

const SHOP = ['name', 'zh', 'category'] as const;
const PERSON = ['account', 'language', 'glasses', 'mandate', 'pin', 'tags'] as const;

/** till-two → Till Two. */
function titled(name: string): string {
  return name.replaceAll('-', ' ').replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
}
