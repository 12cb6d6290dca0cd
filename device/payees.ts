/**
 * The payees a device knows, found by the name a person says or types.
 *
 * A name matches exactly or not at all: a near match pays the wrong shop. Text that hides
 * characters (controls, zero-width, direction marks) matches nothing and is never cleaned up, since
 * what a person sees of it is not what it says. Names of every language are searched, so that two
 * payees of one name are both found and the person is asked.
 */
import { PaymentError } from '../src/errors.ts';
import { plainWriting } from '../src/numerals.ts';

export type Payee = Readonly<{
  id: string;
  names: readonly (readonly [language: string, text: string])[];
  terminal?: string;
}>;

export type Directory = Readonly<{
  byId: (id: string) => Payee | undefined;
  /** Every payee with exactly this name; `language` says how the name was spoken or written. */
  find: (spoken: string, language: 'en' | 'zh') => readonly Payee[];
}>;

/** A directory of these payees; throws `malformed` on a repeated id or a disguised name. */
export function createDirectory(payees: readonly Payee[]): Directory {
  const ids = new Map<string, Payee>();
  const named = { en: new Map<string, Payee[]>(), zh: new Map<string, Payee[]>() };

  for (const payee of payees) {
    if (ids.has(payee.id)) throw new PaymentError('malformed', `payee ${payee.id} stands twice`);
    ids.set(payee.id, payee);
    for (const language of ['en', 'zh'] as const) {
      for (const [, text] of payee.names) {
        const form = normalForm(text, language);
        if (form === undefined) {
          throw new PaymentError('malformed', `a name of payee ${payee.id} is empty or disguised`);
        }
        const same = named[language].get(form) ?? [];
        if (!same.includes(payee)) named[language].set(form, [...same, payee]);
      }
    }
  }

  return Object.freeze({
    byId: (id: string) => ids.get(id),
    find: (spoken: string, language: 'en' | 'zh') => {
      const form = normalForm(spoken, language);
      return Object.freeze([...((form && named[language].get(form)) || [])]);
    },
  });
}

/** The payee's name in this language, else its first name, else its id. */
export function displayName(payee: Payee, language: string): string {
  const own = payee.names.find(([tag]) => tag === language) ?? payee.names[0];
  return own?.[1] ?? payee.id;
}

/** What two spellings of one name have in common; undefined for nothing or hidden characters. */
function normalForm(text: string, language: 'en' | 'zh'): string | undefined {
  const plain = plainWriting(text);
  if (!plain) return undefined;
  const folded = plain
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFKC')
    .replace(/\s+/g, ' ')
    .trim();
  // Chinese has no spaces; recognisers and keyboards add them between words.
  return language === 'en' ? folded : folded.replace(/(?<=\p{sc=Han}) | (?=\p{sc=Han})/gu, '');
}
