/**
 * What the wearer's page may ask: make the phone's key a wallet, hand in mandates and revokes that
 * it signed, see what is left of them, and block what was lost.
 *
 * A wearer's login is for one funding account and one payer, and everything here is about those
 * two. The bridge still proves each object as if a stranger had sent it; what is checked here comes
 * on top, so that a page can be used for nothing that is not its own.
 */
import { hash } from 'node:crypto';
import * as z from 'zod/mini';
import { bytesEqual, fromBase64url, fromHex, toHex, utf8 } from '../src/bytes.ts';
import { type Realm, openSelfSigned, payloadOf } from '../src/cose.ts';
import { PaymentError, reasonName } from '../src/errors.ts';
import { loadKey } from '../src/keys.ts';
import { ENVELOPE_BYTES_MAX, PAGE_ROWS_MAX, REQUEST_VALID_S } from '../src/limits.ts';
import { type Enrol, enrol as enrolKind } from '../src/objects/enrol.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { shortCode } from '../src/pairing.ts';
import type { Clock } from '../src/platform.ts';
import { currencyOf } from './accounts.ts';
import type { Backend } from './backends/port.ts';
import type { Bridge } from './bridge.ts';
import type { Enrolments } from './enrolment.ts';
import type { Identities } from './identities.ts';
import { takeMandate } from './mandates.ts';
import { requireRoom } from './room.ts';
import { viewOfMandate } from './standing.ts';
import type { Identity, Store, Visitor } from './store/port.ts';
import { type Verbs, defineVerb } from './visits.ts';

export type WearerParts = Readonly<{
  realm: Realm;
  store: Store;
  identities: Identities;
  backends: readonly Backend[];
  bridge: Pick<Bridge, 'revoke'>;
  clock: Clock;
  enrolments: Pick<Enrolments, 'route' | 'approve'>;
  /** Whether a device is connected; undefined while nothing is known of it. */
  isOnline: (device: string) => Promise<boolean | undefined>;
}>;

type Wearer = Extract<Visitor, { role: 'wearer' }>;

export function wearerVerbs(parts: WearerParts): Verbs {
  const { realm, store, identities, backends, clock } = parts;

  /** Everything that the page shows. */
  async function look({ funding, payer }: Wearer) {
    const nowMs = clock.nowMs();
    const keys = await store.keysOf(payer);
    const filter = { payer, after: '', count: PAGE_ROWS_MAX };
    const mandates = await store.mandates(filter, nowMs);
    return {
      realm,
      funding,
      currency: await currencyOf(backends, funding),
      payer,
      epoch: await store.epochOf(payer),
      nowS: Math.floor(nowMs / 1000),
      // What a key was succeeded by stands for both.
      keys: await Promise.all(keys.filter(({ place }) => place === undefined).map(viewOfKey)),
      mandates: mandates.map((link) => ({
        ...viewOfMandate(link, nowMs),
        windows: link.mandate.windows.map(({ max, count, ...window }, i) => ({
          ...window,
          max: String(max),
          count,
          used: String(link.usage[i]!.amount),
          usedCount: link.usage[i]!.count,
        })),
        payees: link.mandate.allow.flatMap((scope) =>
          scope.kind === 'payee' ? [scope.payee] : [],
        ),
      })),
      sellers: (await store.sellers()).map(({ payee, names }) => ({ payee, names })),
    };
  }

  async function viewOfKey({ name, status, statement }: Identity) {
    const { role, device, exp } = statement;
    const online = device === undefined ? undefined : await parts.isOnline(device);
    return { name, status, role, device, until: exp, online };
  }

  /** The phone's key becomes a wallet of this payer, and the backend links the account with it. */
  async function addWallet({ funding, payer, by }: Wearer, text: string) {
    const nowMs = clock.nowMs();
    const envelope = fromBase64url(text);
    const value = readEnrol(envelope, realm, payer, nowMs);
    const { name, thumbprint } = loadKey(value.key);
    const known = await store.identity(name);
    if (known) {
      const own = known.statement.payer && toHex(known.statement.payer);
      if (known.statement.role !== 'wallet' || own !== payer) {
        throw new PaymentError('role_forbidden', 'this key is somebody else’s');
      }
      if (known.status !== 'active') {
        throw new PaymentError(known.status, 'this phone was blocked');
      }
    } else {
      await requireRoom(store, { role: 'wallet', payer: fromHex(payer) }, [name], nowMs);
    }
    await link(funding, name);
    if (known) return { state: 'enrolled' };
    // It waits like every key, and its approval is the login: the operator gave it to this payer.
    const asked = { method: 'POST', path: '/v1/enrol', headers: {}, body: envelope };
    const taken = await parts.enrolments.route(asked);
    if (taken === undefined || taken === 'drop' || taken.status >= 300) {
      throw new PaymentError('rate_limited', 'no more keys can wait just now');
    }
    const { state } = await parts.enrolments.approve(
      shortCode(thumbprint),
      { role: 'wallet', payer },
      { by: 'the wearer', why: `logged in for ${funding} by a link of ${by}` },
    );
    return { state };
  }

  /** At every backend that has this account and whose logins are handed out here. */
  async function link(funding: string, wallet: string): Promise<void> {
    await currencyOf(backends, funding);
    for (const { login } of backends) {
      if ((await login?.currencyOf(funding)) !== undefined) await login!.link(funding, wallet);
    }
  }

  /** A mandate from this account, signed by one of this payer's wallets over the text shown. */
  async function grant(wearer: Wearer, asked: Readonly<{ envelope: string; text: string }>) {
    const nowMs = clock.nowMs();
    const envelope = fromBase64url(asked.envelope);
    const { value, signer } = await identities.openAny(mandateKind, envelope);
    requireOwn(wearer, signer);
    if (value.funding !== wearer.funding || value.parent !== undefined) {
      throw new PaymentError('funding_unknown', `this login is for ${wearer.funding} alone`);
    }
    const shown = utf8(asked.text);
    if (!bytesEqual(Uint8Array.from(hash('sha256', shown, 'buffer')), value.textDigest)) {
      throw new PaymentError('malformed', 'this is not the text that was signed');
    }
    const { id, refusal } = await takeMandate(parts, envelope, nowMs);
    if (refusal) throw refusal;
    // What was read can be shown again years later, next to the digest that was signed.
    await store.note({ subject: id, kind: 'note', body: shown, nowMs });
    return { id };
  }

  /** One mandate, or all below an epoch; answers how the bridge's receipt ends. */
  async function revoke(wearer: Wearer, text: string) {
    const envelope = fromBase64url(text);
    const { signer } = await identities.openAny(revokeKind, envelope);
    requireOwn(wearer, signer);
    const receipt = receiptKind.decode(payloadOf(await parts.bridge.revoke(envelope)));
    const { outcome, reason, running = [] } = receipt;
    return { outcome, reason: reason && reasonName(reason), running: running.length };
  }

  /** A lost phone or device never counts again. */
  async function block({ payer, funding }: Wearer, name: string) {
    const nowMs = clock.nowMs();
    const identity = await store.identity(name);
    const own = identity?.statement.payer && toHex(identity.statement.payer);
    // A key of another person is answered like none: nobody learns that it exists.
    if (own !== payer) throw new PaymentError('role_forbidden', 'you have no such key');
    const changed = await store.setIdentityStatus(name, 'revoked', nowMs);
    const body = utf8(JSON.stringify({ set: 'revoked', by: 'wearer', funding }));
    if (changed) await store.note({ subject: name, kind: 'note', body, nowMs });
    return { changed };
  }

  return {
    wearer: defineVerb(['wearer'], z.strictObject({}), look),
    wallet: defineVerb(['wearer'], z.strictObject({ enrol: ENVELOPE }), (wearer, asked) =>
      addWallet(wearer, asked.enrol),
    ),
    grant: defineVerb(
      ['wearer'],
      z.strictObject({ envelope: ENVELOPE, text: z.string().check(z.maxLength(TEXT_MAX)) }),
      grant,
    ),
    revoke: defineVerb(['wearer'], z.strictObject({ envelope: ENVELOPE }), (wearer, asked) =>
      revoke(wearer, asked.envelope),
    ),
    lost: defineVerb(['wearer'], z.strictObject({ name: THUMBPRINT }), (wearer, asked) =>
      block(wearer, asked.name),
    ),
  };
}

const ENVELOPE = z
  .string()
  .check(z.regex(/^[\w-]+$/), z.maxLength(Math.ceil((ENVELOPE_BYTES_MAX * 4) / 3)));
const THUMBPRINT = z.string().check(z.regex(/^[0-9a-f]{64}$/));
/** A text is a few lines for each of what an envelope can hold. */
const TEXT_MAX = 4 * ENVELOPE_BYTES_MAX;

function requireOwn({ payer }: Wearer, { statement }: Identity): void {
  const own = statement.payer && toHex(statement.payer);
  if (statement.role === 'wallet' && own === payer) return;
  throw new PaymentError('role_forbidden', 'only a wallet of this login signs here');
}

/** Proof of possession, made just now: one that somebody kept proves nothing. */
function readEnrol(envelope: Uint8Array, realm: Realm, payer: string, nowMs: number): Enrol {
  const { payload } = openSelfSigned(envelope, realm, enrolKind.name, (inside) =>
    loadKey(enrolKind.decode(inside).key),
  );
  const value = enrolKind.decode(payload);
  // The name binds it to this payer: an Enrol that was sent to another account is worth nothing.
  if (value.role !== 'wallet' || value.device !== `wallet-${payer}`) {
    throw new PaymentError('role_forbidden', 'this key does not ask to be this payer’s wallet');
  }
  if (Math.abs(value.iat - nowMs / 1000) > REQUEST_VALID_S) {
    throw new PaymentError('expired', 'the clock of this phone is minutes off: set it');
  }
  return value;
}
