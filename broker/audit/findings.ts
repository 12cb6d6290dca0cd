/** What the parts of an audit tell: differences, and what could not be looked at. */
import type { Difference } from '../store/port.ts';

export type Findings = Readonly<{
  differ: (...found: readonly Difference[]) => void;
  miss: (what: string, cause: unknown) => void;
  /** Lets whatever waits be handled. */
  turn: () => Promise<void>;
}>;
