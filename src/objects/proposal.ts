/**
 * Proposal: what an agent or a merchant asks a person's device to confirm. Signed by the bridge,
 * who checked the asker. It moves nothing; the person's own request does.
 */
import { TEXT_BYTES_MAX } from '../limits.ts';
import {
  type Field,
  type ValueOf,
  amount,
  bytes,
  choice,
  defineKind,
  id,
  mapped,
  name,
  optional,
  required,
  seconds,
  text,
  thumbprintName,
  tuple,
} from './kind.ts';

const ASKERS = Object.freeze({ agent: 0, merchant: 1 });

export type Asker = Readonly<{ kind: keyof typeof ASKERS; name: string }>;

const asker: Field<Asker> = mapped(
  tuple<readonly [keyof typeof ASKERS, string]>(choice(ASKERS), text(TEXT_BYTES_MAX)),
  ([kind, called]) => ({ kind, name: called }),
  (value) => [value.kind, value.name] as const,
);

export type Proposal = ValueOf<typeof proposal>;

export const proposal = defineKind('proposal', {
  exp: required(4, seconds),
  iat: required(6, seconds),
  amount: required(12, amount),
  payee: required(13, name),
  terminal: optional(14, name),
  order: optional(15, id),
  audience: required(28, thumbprintName),
  salt: required(33, bytes(16)),
  asker: required(59, asker),
  why: required(60, text(TEXT_BYTES_MAX)),
});
