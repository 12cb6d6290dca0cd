/**
 * What the pages may ask about devices that wait to be paired.
 *
 * An operator says everything about a key. A wearer says one thing: this is my device. Role, payer
 * and presence then follow from the login, and a key that asks to be anything but a device is
 * refused, because whoever says "till" says who receives money. Decisions are made one after the
 * other, so that of two people who approve one device the second is told that it is decided.
 */
import * as z from 'zod/mini';
import { SAID, type Said } from '../src/approval.ts';
import { toHex, utf8 } from '../src/bytes.ts';
import { EXITS, OperatorError, PaymentError } from '../src/errors.ts';
import { OPERATOR_PAGE_ROWS, SHORT_CODE_MS, SHORT_CODE_TRIES } from '../src/limits.ts';
import type { Clock } from '../src/platform.ts';
import type { EnrolmentView, Enrolments } from './enrolment.ts';
import type { Store, Visitor } from './store/port.ts';
import { type Verbs, defineVerb } from './visits.ts';

export type ApprovalParts = Readonly<{
  store: Store;
  enrolments: Pick<Enrolments, 'list' | 'find' | 'approve' | 'refuse'>;
  clock: Clock;
  /** Whether a device is connected; undefined while nothing is known of it. */
  isOnline: (device: string) => Promise<boolean | undefined>;
}>;

export function approvalVerbs(parts: ApprovalParts): Verbs {
  const { store, enrolments, clock } = parts;
  let latest: Promise<unknown> = Promise.resolve();
  let minute = { fromMs: 0, tries: new Map<string, number>() };

  /** After every decision that is under way. */
  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = latest.then(run, run);
    latest = turn.catch(() => {});
    return turn;
  }

  /** The one that waits; of a short code only so many may be tried. */
  async function find(visitor: Visitor, named: string): Promise<EnrolmentView> {
    if (visitor.role === 'wearer') countTry(visitor.payer);
    return spoken(() => enrolments.find(named));
  }

  /** For each by themselves: one who tries them all must not keep the others out. */
  function countTry(payer: string): void {
    const nowMs = clock.nowMs();
    if (nowMs - minute.fromMs >= SHORT_CODE_MS) minute = { fromMs: nowMs, tries: new Map() };
    const tries = (minute.tries.get(payer) ?? 0) + 1;
    minute.tries.set(payer, tries);
    if (tries > SHORT_CODE_TRIES) {
      throw new PaymentError('rate_limited', 'too many codes were tried: wait a minute');
    }
  }

  /** As `find`, but only what may still be decided, and by this visitor. */
  async function findOpen(visitor: Visitor, named: string): Promise<EnrolmentView> {
    const found = await find(visitor, named);
    if (visitor.role === 'operator') return found;
    if (found.role !== 'device') {
      throw new PaymentError('role_forbidden', 'only glasses are paired by their wearer');
    }
    if (found.state !== 'open') {
      throw new PaymentError('suspended', 'this device is decided already');
    }
    return found;
  }

  /**
   * Whoever is given a name takes it from the key that has it, also from one that is stopped for a
   * while, and reads what is still sent there. So a wearer takes none but their own.
   */
  async function requireName(payer: string, device: string): Promise<void> {
    const holder = await store.identityOfDevice(device);
    const owner = holder?.statement.payer;
    if (!holder || (owner && toHex(owner) === payer)) return;
    throw new PaymentError('suspended', 'another device has this name: choose another one');
  }

  const approve = (visitor: Visitor, { named, said }: Readonly<{ named: string; said: Said }>) =>
    inTurn(async () => {
      const { role, device } = await findOpen(visitor, named);
      if (visitor.role === 'wearer') await requireName(visitor.payer, said.device ?? device);
      const all: Said =
        visitor.role === 'operator'
          ? { role, device, ...said }
          : { role: 'device', device: said.device ?? device, payer: visitor.payer };
      return viewOf(await spoken(() => enrolments.approve(named, all, byOf(visitor))));
    });

  const refuse = (visitor: Visitor, { named }: Readonly<{ named: string }>) =>
    inTurn(async () => {
      await findOpen(visitor, named);
      return viewOf(await spoken(() => enrolments.refuse(named, byOf(visitor))));
    });

  async function devices(_: Visitor, { after }: Readonly<{ after: string }>) {
    const page = await store.identities(after, OPERATOR_PAGE_ROWS);
    return {
      next: page.length < OPERATOR_PAGE_ROWS ? undefined : page.at(-1)!.name,
      keys: await Promise.all(
        page
          // What a key was succeeded by stands for both.
          .filter(({ statement, place }) => statement.role !== 'bridge' && place === undefined)
          .map(async ({ name, status, statement: { role, device, payee, terminal, exp } }) => ({
            ...{ name, status, role, device, payee, terminal, until: exp },
            online: device === undefined ? undefined : await parts.isOnline(device),
          })),
      ),
    };
  }

  /** Whoever may approve may also end: a lost device counts for nothing from now on. */
  async function block(visitor: Visitor, { name }: Readonly<{ name: string }>) {
    const nowMs = clock.nowMs();
    const identity = await store.identity(name);
    if (!identity || identity.statement.role === 'bridge') {
      throw new PaymentError('role_forbidden', 'there is no such device');
    }
    const changed = await store.setIdentityStatus(name, 'revoked', nowMs);
    const body = utf8(JSON.stringify({ set: 'revoked', ...byOf(visitor) }));
    if (changed) await store.note({ subject: name, kind: 'note', body, nowMs });
    return { changed };
  }

  const named = z.strictObject({ named: NAMED });
  return {
    pending: defineVerb(['operator'], z.strictObject({}), async () => {
      const nowMs = clock.nowMs();
      return (await enrolments.list()).map((one) => ({
        ...viewOf(one),
        ageS: Math.max(0, Math.floor((nowMs - one.askedMs) / 1000)),
        address: one.address,
      }));
    }),
    waiting: defineVerb(['operator', 'wearer'], named, async (visitor, asked) =>
      viewOf(await find(visitor, asked.named)),
    ),
    approve: defineVerb(
      ['operator', 'wearer'],
      z.strictObject({ named: NAMED, said: SAID }),
      approve,
    ),
    refuse: defineVerb(['operator', 'wearer'], named, refuse),
    devices: defineVerb(['operator'], z.strictObject({ after: z.string() }), devices),
    block: defineVerb(['operator'], z.strictObject({ name: z.string() }), block),
  };
}

/** A short code, or what stands behind # in the link of a QR code. */
const NAMED = z.string().check(z.minLength(1), z.maxLength(80));

function viewOf({ code, key, role, device, hasPairing, state }: EnrolmentView) {
  return { code, key, role, device, hasPairing, state };
}

function byOf(visitor: Visitor): Readonly<{ by: string; why: string }> {
  const { by } = visitor;
  return visitor.role === 'operator'
    ? { by, why: 'on the pairing page' }
    : { by: 'the wearer', why: `logged in for ${visitor.funding} by a link of ${by}` };
}

/** What a command would print as its last line is a refusal to a page. */
async function spoken<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    const reason = error.exit === EXITS.usage ? 'malformed' : 'original_unknown';
    throw new PaymentError(reason, error.message, { cause: error });
  }
}
