/**
 * Query: a device asks what became of a request, cancels one, or says that it has just started.
 *
 * An id that is cancelled before it was seen is tombstoned, so "you were not charged" becomes a
 * fact. The answer to `boot` is a Tick that echoes this boot's random and tells the highest
 * counter seen, by which a device on a restored disk finds out before it signs anything.
 */
import {
  type ValueOf,
  bytes,
  choice,
  defineKind,
  id,
  malformed,
  optional,
  required,
} from './kind.ts';

export const QUESTIONS = Object.freeze({ state: 0, cancel: 1, boot: 2 });

export type Query = ValueOf<typeof query>;

export const query = defineKind(
  'query',
  {
    /** The request asked about (state, cancel). */
    subject: optional(21, id),
    /** Random of this boot (boot). */
    echo: optional(29, bytes(16)),
    question: required(31, choice(QUESTIONS)),
  },
  (value) => {
    const isBoot = value.question === 'boot';
    if (isBoot !== (value.echo !== undefined) || isBoot === (value.subject !== undefined)) {
      throw malformed('boot carries an echo; state and cancel carry a subject');
    }
  },
);
