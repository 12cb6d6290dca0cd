/**
 * Query: a device asks what became of a request, cancels one, says that it has just started, or
 * that its disk is behind what the bridge has seen of its key.
 *
 * An id that is cancelled before it was seen is tombstoned, so "you were not charged" becomes a
 * fact. The answer to `boot` is a Tick that echoes this boot's random and tells the highest
 * counter seen, by which a device on a restored disk finds out before it signs anything. It then
 * says `behind`, under the nonce of that answer: whoever else holds the key would pay on, and only
 * the bridge can stop both.
 */
import {
  type ValueOf,
  bytes,
  choice,
  defineKind,
  id,
  integer,
  malformed,
  optional,
  required,
} from './kind.ts';

export const QUESTIONS = Object.freeze({ state: 0, cancel: 1, boot: 2, behind: 3 });

export type Query = ValueOf<typeof query>;

export const query = defineKind(
  'query',
  {
    /** The highest counter on this disk (behind). */
    counter: optional(11, integer()),
    /** Of the tick that told a higher one (behind). */
    nonce: optional(19, bytes(8)),
    /** The request asked about (state, cancel). */
    subject: optional(21, id),
    /** Random of this boot (boot). */
    echo: optional(29, bytes(16)),
    question: required(31, choice(QUESTIONS)),
  },
  (value) => {
    const needed = FIELDS[value.question];
    for (const field of ['counter', 'nonce', 'subject', 'echo'] as const) {
      if (needed.includes(field) === (value[field] !== undefined)) continue;
      throw malformed(`${value.question} carries ${needed.join(' and ')}, and nothing else`);
    }
  },
);

const FIELDS: Readonly<Record<keyof typeof QUESTIONS, readonly string[]>> = Object.freeze({
  state: ['subject'],
  cancel: ['subject'],
  boot: ['echo'],
  behind: ['counter', 'nonce'],
});
