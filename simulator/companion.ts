/**
 * The wallet's side of the simulator: what was granted and is left of it, what was paid, and the
 * verbs of its owner.
 *
 * It signs with the wallet's key in the installation's folder, as a person with a phone would, and
 * asks the bridge what any operator may ask it. Every word on the page is the bridge's own, so a
 * mandate is shown as revoked when the bridge says so, and not when the button was pressed.
 */
import { join } from 'node:path';
import { fromHex, toHex } from '../src/bytes.ts';
import { PaymentError, REASONS, reasonName } from '../src/errors.ts';
import { OPERATOR_PAGE_ROWS, STATEMENT_ROWS_MAX } from '../src/limits.ts';
import { payloadOf } from '../src/cose.ts';
import { seal } from '../src/objects/kind.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { thumbprint } from '../src/keys.ts';
import type { Clock, Files } from '../src/platform.ts';
import type { PaymentView as BridgePayment } from '../broker/operator.ts';
import type { MandateView as BridgeMandate } from '../broker/standing.ts';
import { STORY } from './install.ts';
import type { Event, Language, MandateView, PairingView, StatementRow } from './page/wire.ts';
import type { System } from './system.ts';

export type Companion = Readonly<{
  mandates: () => Promise<Extract<Event, { kind: 'mandates' }>>;
  statement: () => Promise<Extract<Event, { kind: 'statement' }>>;
  pairings: () => Extract<Event, { kind: 'pairings' }>;
  /** One mandate, or all that are active. Throws PaymentError as the bridge refuses. */
  revoke: (mandate: string | undefined) => Promise<void>;
  /** Grants a device anew; it can pay under it at once. Returns what the owner was shown. */
  grant: (device: string, language: Language) => Promise<string>;
}>;

export function createCompanion(
  parts: Readonly<{
    system: Pick<System, 'place' | 'folder' | 'ask' | 'members' | 'member' | 'renew'>;
    files: Files;
    clock: Clock;
  }>,
): Companion {
  const { system, files, clock } = parts;
  const { place, folder } = system;
  let known: readonly MandateView[] = [];
  const rows = new Map<string, StatementRow>();
  /** Everything up to here is at its end. */
  let settled: Readonly<{ atMs: number; id: string }> | undefined;

  async function mandatesOf(): Promise<readonly MandateView[]> {
    const payer = toHex(place.payer);
    const found: BridgeMandate[] = [];
    for (let after: string | undefined; ;) {
      const question = { ask: 'mandates', payer, ...(after !== undefined && { after }) };
      const page = (await system.ask(question)) as readonly BridgeMandate[];
      found.push(...page);
      if (page.length < OPERATOR_PAGE_ROWS) break;
      after = page.at(-1)!.id;
    }
    const keys = new Map(
      system.members().flatMap((member) => {
        const statement = member.running()?.statement;
        return statement ? [[toHex(thumbprint(statement.key)), member.name] as const] : [];
      }),
    );
    // A device that is off just now is still known by its mandates.
    const before = new Map(known.map(({ id, device }) => [id, device]));
    const all = found
      .sort((a, b) => b.until - a.until)
      .map(({ id, cnf, status, currency, perPaymentMax, until, windows }): MandateView => {
        const device = keys.get(cnf) ?? before.get(id) ?? '';
        const all = windows.map((one) => ({ ...one, period: periodIn(one.period) }));
        return { id, device, status, currency, perPaymentMax, until, windows: all };
      });
    // Every run grants anew, so of one device there are many.
    return all.filter(
      ({ device }, i) =>
        device !== '' &&
        all.slice(0, i).filter((one) => one.device === device).length < MANDATES_SHOWN,
    );
  }

  async function revokeOne(id: string): Promise<void> {
    const iat = Math.floor(clock.nowMs() / 1000);
    const value = { payer: place.payer, iat, mandate: id };
    const envelope = await seal(revokeKind, value, STORY.realm, place.wallet);
    const question = { ask: 'take revoke', envelope: toHex(envelope) };
    const { receipt } = (await system.ask(question)) as Readonly<{ receipt: string }>;
    const { outcome, reason } = receiptKind.decode(payloadOf(fromHex(receipt)));
    if (outcome !== 'refused') return;
    throw new PaymentError(reasonName(reason ?? REASONS.unavailable) ?? 'unavailable', 'refused');
  }

  return Object.freeze({
    async mandates() {
      const fresh = await unlessAway(mandatesOf);
      known = fresh ?? known;
      return { kind: 'mandates' as const, list: known, isFresh: fresh !== undefined };
    },
    async statement() {
      const fresh = await unlessAway(async () => {
        let isSettled = true;
        for (let after = settled; ;) {
          const question = { ask: 'payments', which: 'all', ...(after && { after }) };
          const page = (await system.ask(question)) as readonly BridgePayment[];
          for (const payment of page) {
            rows.set(payment.id, rowOf(payment));
            after = { atMs: payment.admittedMs, id: payment.id };
            isSettled &&= payment.outcome !== 'pending' && payment.outcome !== 'held';
            if (isSettled) settled = after;
          }
          if (page.length < OPERATOR_PAGE_ROWS) break;
        }
        return true;
      });
      const newest = [...rows.values()].sort((a, b) => b.atMs - a.atMs);
      for (const { id } of newest.slice(STATEMENT_ROWS_MAX)) rows.delete(id);
      return {
        kind: 'statement' as const,
        rows: newest.slice(0, STATEMENT_ROWS_MAX),
        isFresh: fresh === true,
      };
    },
    pairings() {
      const list = system.members().flatMap((member): PairingView[] => {
        const code = member.code();
        if (code === undefined) return [];
        return [{ code, device: member.name, kind: member.kind }];
      });
      return { kind: 'pairings' as const, list };
    },
    async revoke(mandate: string | undefined) {
      if (mandate !== undefined) return revokeOne(mandate);
      for (const { id, status } of await mandatesOf()) {
        if (status === 'active' || status === 'suspended') await revokeOne(id);
      }
    },
    async grant(name: string, language: Language) {
      const member = system.member(name);
      const running = member.running();
      if (!running) throw new PaymentError('unavailable', `${name} is off just now`);
      const key = toHex(thumbprint(running.statement.key));
      const { text, envelope } = await place.grant(key, language, member.kind);
      // In the place of the one before, which a device would go on choosing.
      files.replace(join(folder, member.mandate), envelope, 0o644);
      await system.renew(name);
      return text;
    },
  });
}

/** Of one device, the newest. */
const MANDATES_SHOWN = 4;

/** In a word, as the page names it: the bridge says "in all" and "per day, Asia/Shanghai". */
function periodIn(said: string): string {
  return said === 'in all' ? 'total' : (/^per (\w+),/.exec(said)?.[1] ?? said);
}

function rowOf(payment: BridgePayment): StatementRow {
  const { id, admittedMs, action, device, payee, currency, minor, outcome, reason } = payment;
  return {
    ...{ id, atMs: admittedMs, action, device, payee, outcome },
    ...(currency !== undefined && minor !== undefined && { amount: { currency, minor } }),
    ...(reason !== undefined && { reason }),
  };
}

/** What is asked; undefined while the bridge is away. */
async function unlessAway<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof PaymentError && error.reason === 'unavailable') return undefined;
    throw error;
  }
}
