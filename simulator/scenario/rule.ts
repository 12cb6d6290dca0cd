/**
 * What a scenario says of the platform's policy: a ladder of amounts, and what is accepted offline
 * with the fields of `saytap root sign policy`.
 */
import { OperatorError } from '../../src/errors.ts';
import { readPolicy } from '../../src/root.ts';
import { type Entry, type Faults, fieldsOf, textOf, wordOf } from './source.ts';
import { USUAL_LADDER, USUAL_OFFLINE } from './usual.ts';

/** What a policy is read with. */
export type PolicyAbout = Readonly<{ currency: string; startMs: number; faults: Faults }>;

/** The platform's policy as an operator writes it, YAML; every fault of its entries is told. */
export function policyOf(
  ladder: Entry | undefined,
  offline: Entry | undefined,
  { currency, startMs, faults }: PolicyAbout,
): string {
  const before = faults.all().length;
  const bands = ladder ? readLadder(ladder, faults) : USUAL_LADDER;
  const rules = offline ? readOffline(offline, faults) : undefined;
  const text = JSON.stringify({
    version: 1,
    scope: 'platform',
    ladders: [{ currency, bands }],
    ...(rules && { offline: { behaviour: 'prefer_online', currency, ...rules } }),
  });
  if (faults.all().length > before) return text;
  try {
    readPolicy(text, 'policy', Math.floor(startMs / 1000));
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const says = error.message.replace(/^policy(?: has .*problems?)?:\s*/, '');
    const field = /^offline\.(\w+)/.exec(says)?.[1];
    const whole = ((field !== undefined && offline) || ladder || offline)!.value;
    const own = whole.kind === 'fields' && whole.entries.find(({ name }) => name === field);
    faults.tell((own || { value: whole }).value.place, says.replaceAll(/\n\s*/g, '; '));
  }
  return text;
}

/** Amounts with the presence that is enough for them: `{ 20: P1, 1000: P2 }`. */
function readLadder({ value }: Entry, faults: Faults) {
  if (value.kind !== 'fields') {
    faults.tell(
      value.place,
      'a policy is amounts with the presence they need: { 20: P1, 1000: P2 }',
    );
    return USUAL_LADDER;
  }
  return value.entries.flatMap(({ name, place, value: level }) => {
    const word = wordOf(level, ['P0', 'P1', 'P2', 'P3', 'P4'], 'a presence', faults);
    const isAmount = /^\d{1,12}(\.\d{1,4})?$/.test(name);
    if (!isAmount) faults.tell(place, `“${name}” is no amount, as 20 or 12.50`);
    return isAmount && word ? [{ upTo: name, presence: Number(word[1]) }] : [];
  });
}

function readOffline(
  { value }: Entry,
  faults: Faults,
): Readonly<Record<string, string | number>> | undefined {
  if (value.kind === 'text') {
    const word = wordOf(value, ['yes', 'no'], 'whether anything is accepted offline', faults);
    return word === 'yes' ? USUAL_OFFLINE : undefined;
  }
  const about = fieldsOf(value, OFFLINE, 'an offline policy', faults);
  const written = OFFLINE.flatMap((field): readonly (readonly [string, string | number])[] => {
    const entry = about[field];
    const text = entry && textOf(entry.value, field, faults);
    if (!text) return [];
    if (AMOUNTS.includes(field)) return [[field, text.text]];
    if (/^\d{1,9}$/.test(text.text)) return [[field, Number(text.text)]];
    faults.tell(text.place, `“${text.text}” is no whole number`);
    return [];
  });
  return { ...USUAL_OFFLINE, ...Object.fromEntries(written) };
}

const OFFLINE = [
  ...(['perPayment', 'stored', 'storedCount', 'acceptSeconds', 'uploadSeconds'] as const),
  ...(['askOnlineAfter', 'refuseAfter', 'payerCount', 'payerAmount', 'policySeconds'] as const),
] as const;
const AMOUNTS: readonly string[] = ['perPayment', 'stored', 'payerAmount'];
