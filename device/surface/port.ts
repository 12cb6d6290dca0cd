/** What a person sees and hears, whatever it is made of: a terminal, a display, a loudspeaker. */
import type { Frame } from '../confirm.ts';

export type Surface = Readonly<{
  /**
   * A question that waits for a confirmation; the frame is everything that is being agreed to. When
   * it `wants` the PIN, keys or pad are opened, and the microphone for a phrase; the frame is the
   * same as before.
   */
  ask: (frame: Frame, sentence: string, wants: 'confirmation' | 'pin' | 'phrase') => void;
  /** A sentence; `mood` chooses colour and sound. */
  say: (sentence: string, mood: Mood) => void;
}>;

export type Mood = 'plain' | 'good' | 'bad' | 'waiting';
