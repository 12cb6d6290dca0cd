/**
 * What both pages have in common: language, header, the login by the link's fragment, and how a
 * refusal is told.
 */
import type { World } from '../../src/page.ts';
import { button, card, el, show } from '../../src/screen.ts';
import { type Language, LANGUAGES, type Words, languageOf, refusal } from './words.ts';

/** A page at work. */
export type Frame = Readonly<{
  world: World;
  language: Language;
  words: Words;
  main: HTMLElement;
  /** Says something at the lower edge; screen readers read it out. */
  tell: (text: string) => void;
  /** Asks the bridge; a refusal is told to the person, and undefined comes back. */
  ask: <T>(name: string, body?: object) => Promise<T | undefined>;
  /** Asks once more before something grave; Escape is a no. */
  sure: (question: string, verb: string) => Promise<boolean>;
}>;

/** Who is logged in, as the bridge tells it. */
export type Session =
  | Readonly<{ role: 'operator'; by: string }>
  | Readonly<{ role: 'wearer'; by: string; funding: string; payer: string }>;

/** What the address brought: a login, or the code of a device that wants to be paired. */
export type Brought = Readonly<{ login?: string; pairing?: string }>;

/** Sets the page up and hands it to `run`, again whenever the language changes. */
export function startPage(
  world: World,
  title: (words: Words) => string,
  run: (frame: Frame, session: Session | undefined, brought: Brought) => void,
): void {
  const top = document.querySelector<HTMLElement>('#top')!;
  const main = document.querySelector<HTMLElement>('#main')!;
  const told = document.querySelector<HTMLElement>('#told')!;
  const recalled = world.recall('language');
  const brought = readFragment(world.takeFragment());
  void begin(recalled === 'zh' || recalled === 'en' ? recalled : languageOf(world.languages), true);

  async function begin(language: Language, isFirst: boolean): Promise<void> {
    const words = LANGUAGES[language];
    const tell = (text: string) => {
      told.textContent = text;
      world.after(TOLD_MS, () => told.textContent === text && told.replaceChildren());
    };
    const frame: Frame = {
      world,
      language,
      words,
      main,
      tell,
      async ask<T>(name: string, body?: object) {
        const answer = await world.ask(name, body);
        if (answer.ok) return answer.value as T;
        tell(refusal(words, answer.reason, answer.why));
        return undefined;
      },
      sure: (question, verb) => sure(words, question, verb),
    };
    document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en';
    document.title = `saytap · ${title(words)}`;
    const other = button(words.other, () => {
      world.remember('language', words.otherLanguage);
      return begin(words.otherLanguage, false);
    });
    other.lang = words.otherLanguage;
    top.replaceChildren(el('strong', {}, `saytap · ${title(words)}`), other);

    const known = await world.ask('session');
    let session = known.ok && hasRole(known.value) ? known.value : undefined;
    if (isFirst && brought.login !== undefined && (await mayLogIn(frame, session))) {
      session = (await frame.ask<Session>('login', { secret: brought.login })) ?? session;
    }
    if (session) {
      const out = button(words.logout, async () => {
        await world.ask('logout');
        await begin(language, false);
      });
      top.append(out);
    }
    run(frame, session, isFirst ? brought : {});
  }
}

/** Nobody is an object without a role. */
function hasRole(value: unknown): value is Session {
  return (value as Partial<Session>).role !== undefined;
}

const TOLD_MS = 8_000;

/**
 * A link that somebody else sent could log this browser in to their account: who is logged in
 * already is asked before.
 */
function mayLogIn({ main, words }: Frame, session: Session | undefined): Promise<boolean> {
  if (!session) return Promise.resolve(true);
  const who = session.role === 'wearer' ? session.funding : session.by;
  return new Promise((decide) => {
    show(
      main,
      el('h1', {}, words.otherAccount),
      card(
        words.otherAccount,
        el('p', {}, words.otherAccountAsk(who)),
        el(
          'div',
          { class: 'row' },
          button(words.stay, () => decide(false)),
          button(words.logInAnyway, () => decide(true), { kind: 'main', id: 'switch' }),
        ),
      ),
    );
  });
}

function sure(words: Words, question: string, verb: string): Promise<boolean> {
  return new Promise((decide) => {
    const dialog = el('dialog', { class: 'card' });
    const end = (answer: boolean) => {
      dialog.remove();
      decide(answer);
    };
    dialog.addEventListener('close', () => end(false));
    dialog.append(
      el('p', {}, question),
      el(
        'div',
        { class: 'row' },
        button(words.cancel, () => end(false)),
        button(verb, () => end(true), { kind: 'grave', id: 'sure' }),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A login is 32 bytes, a pairing 48 (code and thumbprint), both base64url. */
function readFragment(fragment: string): Brought {
  if (/^[\w-]{43}$/.test(fragment)) return { login: fragment };
  if (/^[\w-]{64}$/.test(fragment)) return { pairing: fragment };
  return {};
}
