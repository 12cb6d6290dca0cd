/** What a device tells the page of its own screen; one JSON object in each event of a feed. */
import type { Language } from './phrases.ts';
import type { Shown } from './surface/screen.ts';

/** The header that carries the secret, with events as with what is done. */
export const WINDOW_HEADER = 'x-saytap-screen';

export type View =
  /** First, and again when the device was put together anew. */
  | Readonly<{
      kind: 'hello';
      language: Language;
      environment: 'sim' | 'live';
      /** What the shop is called. */
      title: string;
      currency: string;
      /** Minor units as decimal digits. */
      offers: readonly Readonly<{ text: string; minor: string }>[];
    }>
  | Readonly<{ kind: 'shown'; seq: number; shown: Shown }>
  /** `open` counts what waits for its final receipt. */
  | Readonly<{ kind: 'state'; isOnline: boolean; open: number }>;
