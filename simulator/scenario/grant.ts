/**
 * What a mandate of a scenario says: the fields of `saytap mandate create --terms`, of which one
 * that no wallet would sign is told at the field that is to blame.
 */
import { UsageError } from '../../src/command.ts';
import { type Terms, grantOf } from '../../src/terms.ts';
import { type Entry, type Faults, fieldsOf, textOf, unknown } from './source.ts';

/** What mandates are read with. */
export type MandateAbout = Readonly<{
  currency: string;
  zone: string;
  startMs: number;
  shops: readonly Readonly<{ name: string }>[];
  faults: Faults;
}>;

/** Fields of `saytap mandate create --terms`; what is left out is as usual. */
export function readMandate(entry: Entry, usual: Terms, about: MandateAbout): Terms {
  const { shops, faults } = about;
  const fields = fieldsOf(entry.value, MANDATE, 'a mandate', faults);
  const written: Record<string, string | readonly string[] | number> = {};
  for (const field of MANDATE) {
    const value = fields[field]?.value;
    if (!value) continue;
    if (field === 'days') {
      const text = textOf(value, 'a number of days', faults);
      if (text && /^[1-9]\d{0,4}$/.test(text.text)) written[field] = Number(text.text);
      else if (text) faults.tell(text.place, `“${text.text}” is no number of days`);
    } else if (!LISTS.includes(field)) {
      const text = textOf(value, field, faults);
      if (text) written[field] = text.text;
    } else {
      const items = value.kind === 'list' ? value.items : [value];
      written[field] = items.flatMap((item) => textOf(item, field, faults)?.text ?? []);
    }
  }
  const hasWindow = MANDATE.some((field) => WINDOWS.includes(field) && field in written);
  const base = hasWindow ? without(usual, WINDOWS) : usual;
  const terms: Terms = { ...base, ...written };
  tryGrant(terms, entry, fields, about);
  const shopNames = shops.map(({ name }) => name);
  for (const payee of terms.payee ?? []) {
    if (shopNames.includes(payee)) continue;
    faults.tell((fields.payee ?? entry).value.place, unknown(payee, 'a shop', shopNames));
  }
  return terms;
}

/** These terms with what the site says for all of them, as a wallet reads them. */
export function wholeTerms(
  terms: Terms,
  funding: string,
  { currency, zone }: Readonly<{ currency: string; zone: string }>,
): Terms {
  const whole = { currency, funding, ...terms };
  return PERIODS.some((field) => terms[field] !== undefined) ? { zone, ...whole } : whole;
}

/** A mandate that no wallet would sign is told here, at the field that is to blame. */
function tryGrant(
  terms: Terms,
  entry: Entry,
  fields: Readonly<Record<string, Entry | undefined>>,
  about: MandateAbout,
): void {
  const nowS = Math.floor(about.startMs / 1000);
  try {
    grantOf(wholeTerms(terms, 'acct', about), { cnf: '0'.repeat(64), nowS });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const option = /--([a-z-]+)/.exec(error.message)?.[1] ?? '';
    const at = fields[fieldNamed(option)]?.value.place ?? entry.place;
    const inFields = error.message.replaceAll(/--([a-z-]+)/g, (_, name: string) =>
      fieldNamed(name),
    );
    about.faults.tell(at, inFields);
  }
}

const PERIODS = ['perDay', 'perWeek', 'perMonth', 'perQuarter', 'perYear'] as const;
const WINDOWS: readonly string[] = ['total', ...PERIODS, 'within'];
const LISTS: readonly string[] = [
  ...['within', 'payee', 'category', 'terminal', 'denyPayee', 'denyCategory'],
  ...['denyTerminal', 'band', 'channel'],
];
const MANDATE = [
  ...(['perPayment', 'perPaymentMin', 'total', 'perDay', 'perWeek', 'perMonth'] as const),
  ...(['perQuarter', 'perYear', 'within', 'gap', 'payee', 'category', 'terminal'] as const),
  ...(['denyPayee', 'denyCategory', 'denyTerminal', 'band', 'channel', 'days'] as const),
] as const;

function without(terms: Terms, fields: readonly string[]): Terms {
  return Object.fromEntries(Object.entries(terms).filter(([name]) => !fields.includes(name)));
}

/** A field as an option of the command is named: per-day → perDay. */
function fieldNamed(option: string): string {
  return option.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
