/**
 * What the operator may ask of a bridge and do to it: the commands `saytap mandate`, `payments`,
 * `keys`, `evidence`, `audit`, `invite` and `bridge backup` end here, whether the bridge runs or
 * not.
 *
 * Questions and answers are JSON. Integers of money are texts; an answer never holds a secret.
 */
import * as z from 'zod/mini';
import { SAID } from '../src/approval.ts';
import { fromHex, toHex } from '../src/bytes.ts';
import type { Realm } from '../src/cose.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import type { VerifyKey } from '../src/keys.ts';
import { LINK_MS, OPERATOR_PAGE_ROWS, REFERENCE_BYTES_MAX } from '../src/limits.ts';
import type { Clock, Timers } from '../src/platform.ts';
import { type Accounts, type Invited, currencyOf } from './accounts.ts';
import { audit } from './audit.ts';
import type { Backend } from './backends/port.ts';
import type { Bridge } from './bridge.ts';
import { QUESTION as CHECK, check } from './check.ts';
import type { Enrolments } from './enrolment.ts';
import { disputeFile } from './evidence.ts';
import type { Identities } from './identities.ts';
import { takeMandate } from './mandates.ts';
import { detailsOf, keyActs, viewOfDevice } from './devices.ts';
import { type MandateView, viewOfMandate } from './standing.ts';
import type { Identity, Run, Store } from './store/port.ts';
import type { Rules } from './verdict.ts';

const ID = z.string().check(z.regex(/^[0-9a-f]{32}$/, 'an id of 32 hex digits'));
const PERSON = z.string().check(z.minLength(1), z.maxLength(50));
const WORDS = z.string().check(z.minLength(1), z.maxLength(500));
const ENVELOPE = z.string().check(z.regex(/^([0-9a-f]{2})+$/));
/** A short code, or the link of a pairing QR. */
const NAMED = z.string().check(z.minLength(1), z.maxLength(500));
const STATUS = z.enum(['active', 'suspended', 'revoked']);

/** Everything that may be asked. */
export const QUESTION = z.discriminatedUnion('ask', [
  z.strictObject({ ask: z.literal('mandates'), payer: z.optional(ID), after: z.optional(ID) }),
  z.strictObject({ ask: z.literal('mandate'), id: ID }),
  z.strictObject({ ask: z.literal('take mandate'), envelope: ENVELOPE }),
  z.strictObject({ ask: z.literal('take revoke'), envelope: ENVELOPE }),
  z.strictObject({
    ask: z.literal('set mandate'),
    id: ID,
    status: z.enum(['active', 'suspended']),
    by: PERSON,
    why: WORDS,
  }),
  z.strictObject({ ask: z.literal('check'), payment: CHECK }),
  z.strictObject({ ask: z.literal('keys'), after: z.optional(z.string()) }),
  z.strictObject({ ask: z.literal('devices'), after: z.optional(z.string()) }),
  z.strictObject({ ask: z.literal('device'), name: z.string() }),
  z.strictObject({
    ask: z.literal('set key'),
    name: z.string().check(z.regex(/^[0-9a-f]{64}$/, 'a thumbprint of 64 hex digits')),
    status: STATUS,
    by: PERSON,
    why: WORDS,
  }),
  z.strictObject({
    ask: z.literal('payments'),
    which: z.enum(['all', 'unresolved']),
    after: z.optional(z.strictObject({ atMs: z.int(), id: ID })),
  }),
  z.strictObject({ ask: z.literal('payment'), id: ID }),
  z.strictObject({
    ask: z.literal('resolve'),
    id: ID,
    outcome: z.optional(z.enum(['captured', 'held', 'voided', 'refunded'])),
    by: PERSON,
    why: WORDS,
  }),
  z.strictObject({ ask: z.literal('evidence'), id: ID, form: z.enum(['text', 'html']) }),
  z.strictObject({
    ask: z.literal('erase'),
    payer: z.optional(ID),
    beforeMs: z.int(),
    by: PERSON,
  }),
  z.strictObject({
    ask: z.literal('audit'),
    /** A link that was seen earlier, as NUMBER:HEX; the audit fails if it is not in the chain. */
    head: z.optional(z.string().check(z.regex(/^[0-9]{1,15}:[0-9a-f]{64}$/))),
  }),
  z.strictObject({
    ask: z.literal('invite'),
    by: PERSON,
    /** With it the link is a wearer's. */
    funding: z.optional(z.string().check(z.regex(new RegExp(`^[!-~]{1,${REFERENCE_BYTES_MAX}}$`)))),
    payer: z.optional(ID),
  }),
  z.strictObject({ ask: z.literal('enrolments') }),
  z.strictObject({ ask: z.literal('enrolment'), named: NAMED }),
  z.strictObject({
    ask: z.literal('approve enrolment'),
    named: NAMED,
    said: SAID,
    /** Signed by the root on another machine. */
    statement: z.optional(ENVELOPE),
    by: PERSON,
    why: z.optional(WORDS),
  }),
  z.strictObject({ ask: z.literal('refuse enrolment'), named: NAMED, by: PERSON, why: WORDS }),
  z.strictObject({ ask: z.literal('backup'), path: z.string().check(z.minLength(1)) }),
]);
export type Question = z.infer<typeof QUESTION>;

export type OperatorParts = Readonly<{
  realm: Realm;
  store: Store;
  identities: Identities;
  backends: readonly Backend[];
  bridge: Bridge;
  enrolments: Enrolments;
  rules: Rules;
  clock: Clock;
  timers: Timers;
  accounts: Accounts;
  /** Where people reach the pages, as https://pay.example:8443; undefined without any. */
  origin: () => string | undefined;
  /** The operator's root, which the dispute file checks statements with. */
  root: VerifyKey;
}>;

/** A key as the operator sees it. */
export type KeyView = Readonly<{
  name: string;
  status: Identity['status'];
  /** `former`: its device has another key now, and still may send what this one signed. */
  place: Identity['place'];
  role: string;
  device: string | undefined;
  payee: string | undefined;
  /** Hex of the payer's pseudonym. */
  payer: string | undefined;
  until: number;
}>;

/** A payment as the operator sees it; amounts in minor units as text. */
export type PaymentView = Readonly<{
  id: string;
  action: string;
  device: string;
  payee: string;
  currency: string | undefined;
  minor: string | undefined;
  admittedMs: number;
  outcome: string;
  reason: string | undefined;
  attempts: readonly Readonly<{
    number: number;
    backend: string;
    operation: string;
    state: string;
    atMs: number;
    reference: string | undefined;
  }>[];
  cancelAskedMs: number | undefined;
}>;

/**
 * Answers one question. Throws PaymentError `malformed` for one that is not understood, and what
 * the verb that it asks for throws.
 */
export async function operate(parts: OperatorParts, asked: unknown): Promise<unknown> {
  const parsed = z.safeParse(QUESTION, asked);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new PaymentError('malformed', `${issue?.path.join('.')}: ${issue?.message}`);
  }
  const question = parsed.data;
  const { store, clock } = parts;
  const nowMs = clock.nowMs();
  switch (question.ask) {
    case 'mandates': {
      const filter = {
        payer: question.payer,
        after: question.after ?? '',
        count: OPERATOR_PAGE_ROWS,
      };
      const links = await store.mandates(filter, nowMs);
      return links.map((link): MandateView => viewOfMandate(link, nowMs));
    }
    case 'mandate': {
      const chain = await store.chain(question.id, nowMs);
      return chain.map((link): MandateView => viewOfMandate(link, nowMs));
    }
    case 'take mandate': {
      const { id, refusal } = await takeMandate(parts, fromHex(question.envelope), nowMs);
      if (refusal) throw refusal;
      return { id };
    }
    case 'take revoke':
      return { receipt: toHex(await parts.bridge.revoke(fromHex(question.envelope))) };
    case 'set mandate': {
      const changed = await store.setMandateStatus(question.id, question.status, nowMs);
      await note(question.id, question);
      return { changed };
    }
    case 'check':
      return check(parts, question.payment);
    case 'keys':
      return (await store.identities(question.after ?? '', OPERATOR_PAGE_ROWS)).map(viewOfKey);
    case 'devices': {
      const found = await store.devices(question.after ?? '', OPERATOR_PAGE_ROWS);
      return found.map((one) => viewOfDevice(one, one.heard));
    }
    case 'device': {
      const identity = await store.identityOfDevice(question.name);
      if (!identity) return undefined;
      const heard = await store.heard(question.name);
      const acts = keyActs(await store.evidence(identity.name));
      return { ...viewOfDevice(identity, heard), ...detailsOf(heard), acts };
    }
    case 'set key': {
      const identity = await store.identity(question.name);
      if (identity?.statement.role === 'bridge') {
        throw new PaymentError('role_forbidden', 'a bridge’s key is changed by bridge rotate');
      }
      const changed = await store.setIdentityStatus(question.name, question.status, nowMs);
      await note(question.name, question);
      return { changed };
    }
    case 'payments': {
      const after = question.after ?? { atMs: 0, id: '' };
      return (await store.runs(question.which, after, OPERATOR_PAGE_ROWS)).map(viewOfPayment);
    }
    case 'payment': {
      const run = (await store.run(question.id)) ?? (await store.runOfOrder(question.id));
      return run ? viewOfPayment(run) : undefined;
    }
    case 'resolve': {
      const { id, outcome, by, why } = question;
      return parts.bridge.resolve(id, { outcome, by, why });
    }
    case 'evidence':
      return disputeFile(parts, question.id, question.form);
    case 'erase':
      return { erased: await store.erase({ ...question, payer: question.payer, nowMs }) };
    case 'audit':
      return audit(parts, question.head);
    case 'invite': {
      const { by, funding, payer } = question;
      const origin = parts.origin();
      if (origin === undefined) {
        throw new OperatorError(
          'config',
          'this bridge has no pages: add https: with listen and url to its configuration',
        );
      }
      if (funding !== undefined) await currencyOf(parts.backends, funding);
      const invited: Invited =
        funding === undefined ? { role: 'operator', by } : { role: 'wearer', by, funding, payer };
      const secret = await parts.accounts.invite(invited);
      await note(funding ?? 'operator', { ask: 'invite', by, funding });
      const url = `${origin}/${funding === undefined ? 'pair' : 'wallet'}#${secret}`;
      return { url, minutes: LINK_MS / 60_000 };
    }
    case 'enrolments':
      return parts.enrolments.list();
    case 'enrolment':
      return parts.enrolments.find(question.named);
    case 'approve enrolment': {
      const { named, said, statement } = question;
      const signed = statement === undefined ? undefined : fromHex(statement);
      return parts.enrolments.approve(named, said, personOf(question), signed);
    }
    case 'refuse enrolment':
      return parts.enrolments.refuse(question.named, personOf(question));
    case 'backup':
      return store.backup(question.path);
  }

  async function note(subject: string, said: object): Promise<void> {
    const body = new TextEncoder().encode(JSON.stringify(said));
    await store.note({ subject, kind: 'note', body, nowMs });
  }
}

function personOf({ by, why }: Readonly<{ by: string; why?: string | undefined }>) {
  return { by, ...(why !== undefined && { why }) };
}

function viewOfKey({ name, status, statement, place }: Identity): KeyView {
  const { role, device, payee, payer, exp } = statement;
  const until = exp;
  return { name, status, place, role, device, payee, payer: payer && toHex(payer), until };
}

function viewOfPayment(run: Run): PaymentView {
  const { request } = run;
  return {
    id: run.id,
    action: request.action,
    device: run.device,
    payee: request.payee,
    currency: request.amount?.currency,
    minor: request.amount && String(request.amount.minor),
    admittedMs: run.admittedMs,
    outcome: run.outcome ?? 'pending',
    reason: reasonOf(run),
    attempts: run.attempts.map(({ number, backend, operation, state, atMs, reference }) => ({
      number,
      backend,
      operation,
      state,
      atMs,
      reference,
    })),
    cancelAskedMs: run.cancelAskedMs,
  };
}

/** Why a payment was refused, by whichever step refused it. */
function reasonOf({ refusal, decision, attempts, cancelAskedMs, outcome }: Run) {
  if (outcome !== 'refused' && outcome !== 'expired') return undefined;
  if (refusal) return refusal;
  if (decision?.kind === 'refuse') return decision.reason;
  const last = attempts.at(-1);
  return last?.reason ?? (cancelAskedMs === undefined ? 'unavailable' : 'cancelled');
}
