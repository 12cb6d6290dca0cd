/**
 * The wallet's first screen: what may be paid and what is left of it, the devices and phones, and
 * the ways to end things. It looks again by itself while it is on the screen.
 */
import type { Signer } from '../../../src/cose.ts';
import { fromHex, toBase64url } from '../../../src/bytes.ts';
import { COUNT_UNLIMITED } from '../../../src/limits.ts';
import { formatMoney } from '../../../src/money.ts';
import { seal } from '../../../src/objects/kind.ts';
import type { Window } from '../../../src/objects/mandate.ts';
import { type Revoke, revoke as revokeKind } from '../../../src/objects/revoke.ts';
import { utc } from '../../../src/sentences.ts';
import { windowText } from '../../../src/wallet.ts';
import type { Frame } from '../frame.ts';
import { button, card, el, field, show } from '../../../src/screen.ts';
import type { Seller } from './form.ts';

/** What the bridge tells of a wearer's account. */
export type Standing = Readonly<{
  realm: Readonly<{ environment: 'live' | 'sim'; ledger: string }>;
  funding: string;
  currency: string;
  payer: string;
  epoch: number;
  nowS: number;
  keys: readonly Key[];
  mandates: readonly Mandate[];
  sellers: readonly Seller[];
}>;

type Key = Readonly<{
  name: string;
  status: 'active' | 'suspended' | 'revoked';
  role: string;
  device?: string;
  online?: boolean;
}>;

type Mandate = Readonly<{
  id: string;
  status: 'active' | 'suspended' | 'revoked' | 'expired' | 'finished';
  cnf: string;
  currency: string;
  perPaymentMax: string;
  until: number;
  payees: readonly string[];
  windows: readonly Readonly<{
    kind: Window['kind'];
    period?: string;
    zone?: string;
    seconds?: number;
    max: string;
    count: number;
    used: string;
    usedCount: number;
  }>[];
}>;

/** What the screen leads to. */
export type Ways = Readonly<{
  pair: (code: string) => void;
  limits: (key: Readonly<{ name: string; device: string }>) => void;
}>;

const LOOK_MS = 1_500;

/** Draws the screen and keeps it up to date until another one is drawn. */
export function home(frame: Frame, first: Standing, wallet: Signer, ways: Ways): void {
  const { words, main, world } = frame;
  const limits = el('div', { id: 'limits' });
  const keys = el('div', { id: 'keys' });
  const emergency = el('div', { id: 'emergency' });
  let latest = '';
  draw(first);
  show(
    main,
    el('h1', {}, words.account(first.funding, first.currency)),
    limits,
    pairCard(frame, ways),
    keys,
    emergency,
  );
  world.after(LOOK_MS, lookAgain);

  function lookAgain(): void {
    if (!limits.isConnected) return;
    if (document.hidden) return world.after(LOOK_MS, lookAgain);
    void world.ask('wearer').then((answer) => {
      if (answer.ok && limits.isConnected) draw(answer.value as Standing);
      world.after(LOOK_MS, lookAgain);
    });
  }

  /** Only what has changed is drawn again, so that nothing moves under a finger. */
  function draw(standing: Standing): void {
    const { nowS, ...rest } = standing;
    const now = JSON.stringify(rest);
    if (now === latest) return;
    latest = now;
    const inside = document.activeElement?.id;
    limits.replaceChildren(limitsCard(standing));
    keys.replaceChildren(devicesCard(standing), phonesCard(standing));
    emergency.replaceChildren(emergencyCard(standing));
    if (inside) document.getElementById(inside)?.focus();
  }

  function limitsCard({ mandates, keys: all }: Standing): HTMLElement {
    const order = [...mandates].sort((a, b) => rank(a) - rank(b) || b.until - a.until);
    const open = order.filter(({ status }) => status === 'active' || status === 'suspended');
    const over = order.filter((one) => !open.includes(one));
    const row = (one: Mandate) => mandateRow(one, all.find(({ name }) => name === one.cnf)?.device);
    return card(
      words.limits,
      open.length === 0 && el('p', { class: 'quiet' }, words.noLimits),
      el('ul', { class: 'list' }, ...open.map(row), ...over.slice(0, OVER_SHOWN).map(row)),
      open.length > 0 &&
        el(
          'p',
          {},
          button(words.revokeAll, () => revokeAll(), { kind: 'grave', id: 'revoke-all' }),
        ),
    );
  }

  function mandateRow(one: Mandate, device: string | undefined): HTMLElement {
    const { currency, status, id } = one;
    const money = (minor: string) =>
      formatMoney({ currency, minor: BigInt(minor) }, frame.language);
    const isOver = status !== 'active';
    return el(
      'li',
      { 'data-mandate': id, 'data-status': status, class: isOver ? 'over' : 'open' },
      el(
        'div',
        { class: 'row' },
        el('h3', {}, device ?? one.cnf.slice(0, 8)),
        el('span', { class: 'quiet' }, words.status[status]),
        !isOver && button(words.revoke, () => revokeOne(id), { kind: 'grave', id: `revoke-${id}` }),
      ),
      el(
        'p',
        { class: 'quiet' },
        [words.perPaymentMax(money(one.perPaymentMax)), words.until(utc(one.until))].join(' · '),
      ),
      ...(isOver ? [] : one.windows.map((window) => windowRow(window, money))),
    );
  }

  function windowRow(
    window: Mandate['windows'][number],
    money: (minor: string) => string,
  ): HTMLElement {
    const used = BigInt(window.used);
    const max = BigInt(window.max);
    const left = max > used ? max - used : 0n;
    const times = Math.max(0, window.count - window.usedCount);
    const what = windowText({ ...window, max } as Window, frame.language);
    const rest = money(String(left));
    const said = window.count === COUNT_UNLIMITED ? words.left(rest) : words.leftOf(rest, times);
    return el(
      'div',
      { class: 'window' },
      el('div', {}, el('span', {}, what), el('b', { 'data-left': String(left) }, said)),
      // A bar is for the eye: shares of an amount fit a number well enough.
      el('progress', { max: 1, value: share(left, max), 'aria-label': `${what}: ${said}` }),
    );
  }

  function devicesCard({ keys: all }: Standing): HTMLElement {
    const devices = all.filter(({ role }) => role !== 'wallet');
    return card(
      words.yourDevices,
      devices.length === 0 && el('p', { class: 'quiet' }, words.noDevices),
      el('ul', { class: 'list' }, ...devices.map(deviceRow)),
    );
  }

  function deviceRow({ name, device = name.slice(0, 8), status, online }: Key): HTMLElement {
    const isOut = status !== 'active';
    const state = isOut
      ? status === 'revoked'
        ? words.blocked
        : words.suspended
      : online === undefined
        ? ''
        : online
          ? words.online
          : words.offline;
    return el(
      'li',
      { class: isOut ? 'over' : 'open', 'data-device': device },
      el(
        'div',
        { class: 'row' },
        el(
          'div',
          {},
          el('h3', {}, device),
          state !== '' &&
            el('span', { class: online && !isOut ? 'quiet dot on' : 'quiet dot' }, state),
        ),
        !isOut && button(words.newLimits, () => ways.limits({ name, device })),
        !isOut && button(words.lost, () => block(name, device), { kind: 'grave' }),
      ),
    );
  }

  function phonesCard({ keys: all }: Standing): HTMLElement {
    const phones = all.filter(({ role }) => role === 'wallet');
    return card(
      words.phones,
      el(
        'ul',
        { class: 'list' },
        ...phones.map(({ name, status }) => {
          const own = name === wallet.key.name;
          const label = words.phone(name.slice(0, 8));
          return el(
            'li',
            { class: status === 'active' ? 'open' : 'over' },
            el(
              'div',
              { class: 'row' },
              el('h3', {}, own ? `${label} (${words.thisPhone})` : label),
              status !== 'active' && el('span', { class: 'quiet' }, words.blocked),
              status === 'active' &&
                !own &&
                button(words.lost, () => blockPhone(name, label), { kind: 'grave' }),
            ),
          );
        }),
      ),
    );
  }

  function emergencyCard({ epoch, payer, realm, funding }: Standing): HTMLElement {
    const saved = world.recall(`emergency.${funding}`);
    const isFresh = saved === String(epoch);
    return card(
      words.emergency,
      el('p', {}, words.emergencyWhy),
      el('p', { class: 'quiet' }, words.emergencyUse),
      saved !== undefined &&
        el(
          'p',
          { class: isFresh ? 'quiet' : 'fault' },
          isFresh ? words.emergencySaved : words.emergencyOld,
        ),
      button(
        isFresh ? words.emergencyAgain : words.emergencySave,
        async () => {
          const all = { payer: fromHex(payer), iat: world.nowS(), epoch: epoch + 1 };
          world.offer('revoke-all.revoke', await seal(revokeKind, all, realm, wallet));
          world.remember(`emergency.${funding}`, String(epoch));
          latest = '';
        },
        { kind: isFresh ? 'plain' : 'main', id: 'save-emergency' },
      ),
    );
  }

  async function revokeOne(id: string): Promise<void> {
    if (await frame.sure(words.revokeAsk, words.revoke)) await sendRevoke(() => ({ mandate: id }));
  }

  async function revokeAll(): Promise<void> {
    if (!(await frame.sure(words.revokeAllAsk, words.revokeAll))) return;
    await sendRevoke(({ epoch }) => ({ epoch: epoch + 1 }));
  }

  async function sendRevoke(what: (standing: Standing) => Partial<Revoke>): Promise<void> {
    const standing = await frame.ask<Standing>('wearer');
    if (!standing) return;
    const { payer, realm } = standing;
    const value = { payer: fromHex(payer), iat: world.nowS(), ...what(standing) };
    const envelope = toBase64url(await seal(revokeKind, value, realm, wallet));
    const done = await frame.ask<Readonly<{ outcome: string; reason?: string; running: number }>>(
      'revoke',
      { envelope },
    );
    if (!done) return;
    const isDone = done.outcome === 'granted';
    frame.tell(isDone ? words.revoked(done.running) : `${words.refused} ${done.reason ?? ''}`);
    const now = await frame.ask<Standing>('wearer');
    if (now) draw(now);
  }

  /** Whoever has that phone may be logged in there: all logins end, and this page begins anew. */
  async function blockPhone(name: string, label: string): Promise<void> {
    if (!(await frame.sure(words.blockPhoneAsk(label), words.block))) return;
    if (await frame.ask('lost', { name })) frame.world.go('/wallet');
  }

  async function block(name: string, label: string): Promise<void> {
    if (!(await frame.sure(words.blockAsk(label), words.block))) return;
    await frame.ask('lost', { name });
    const now = await frame.ask<Standing>('wearer');
    if (now) draw(now);
  }
}

const OVER_SHOWN = 5;

function rank({ status }: Mandate): number {
  return status === 'active' ? 0 : status === 'suspended' ? 1 : 2;
}

function share(left: bigint, max: bigint): number {
  return max === 0n ? 0 : Number((left * 1000n) / max) / 1000;
}

function pairCard({ words }: Frame, ways: Ways): HTMLElement {
  const input = el('input', {
    id: 'short',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 13,
    placeholder: 'XXXXX-XXXXX',
  });
  const go = () => ways.pair(input.value.trim());
  input.addEventListener('keydown', ({ key }) => key === 'Enter' && go());
  return card(
    words.pairDevice,
    el('p', {}, words.pairHow),
    field(words.shortCode, input, words.shortHelp),
    button(words.find, go, { id: 'find' }),
  );
}
