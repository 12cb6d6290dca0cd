/**
 * The payer's wallet: says in words what is being authorised, and signs exactly that.
 *
 * The text is made from the mandate's fields and its digest goes into the mandate, so what the
 * person agreed to can be shown again years later and compared.
 */
import { hash } from 'node:crypto';
import { utf8 } from './bytes.ts';
import { type Realm, type Signer, identify } from './cose.ts';
import { COUNT_UNLIMITED } from './limits.ts';
import { formatMoney } from './money.ts';
import { seal } from './objects/kind.ts';
import {
  type Mandate,
  type Scope,
  type Window,
  mandate as mandateKind,
} from './objects/mandate.ts';
import { CHANNELS, type Channel } from './objects/request.ts';
import { utc } from './sentences.ts';

/** Everything of a mandate that the person decides; the digest of the text is added here. */
export type Grant = Omit<Mandate, 'textDigest'>;

/**
 * The sentences that the person reads before agreeing; payees by the names in `nameOf`. Every field
 * is told, so two grants that differ in any field read differently (of the key: its first half).
 */
export function grantText(
  grant: Grant,
  language: 'en' | 'zh',
  nameOf: (payee: string) => string,
): string {
  const money = (minor: bigint) => formatMoney({ currency: grant.currency, minor }, language);
  const lines = language === 'zh' ? chinese(grant, money, nameOf) : english(grant, money, nameOf);
  return lines.join('\n');
}

/** Signs a mandate over the text that was shown. Returns the envelope and its id. */
export async function signMandate(
  grant: Grant,
  text: string,
  realm: Realm,
  wallet: Signer,
): Promise<Readonly<{ id: string; envelope: Uint8Array; mandate: Mandate }>> {
  const mandate = { ...grant, textDigest: Uint8Array.from(hash('sha256', utf8(text), 'buffer')) };
  const envelope = await seal(mandateKind, mandate, realm, wallet);
  return { id: identify(envelope, realm, mandateKind.name).id, envelope, mandate };
}

function english(
  grant: Grant,
  money: (minor: bigint) => string,
  nameOf: (payee: string) => string,
): readonly string[] {
  const { perPaymentMax, perPaymentMin, windows, bands, gap, parent, deny } = grant;
  const last = bands.at(-1)!;
  const places = (scopes: readonly Scope[]) =>
    byKind(scopes).map((some) => some.map((one) => scopeText(one, 'en', nameOf)).join(' or '));
  return [
    `Let the key ${grant.cnf.slice(0, 32)} pay from account ${grant.funding} ` +
      `from ${utc(grant.nbf)} until ${utc(grant.exp)}.`,
    perPaymentMin === undefined
      ? `At most ${money(perPaymentMax)} per payment.`
      : perPaymentMin === perPaymentMax
        ? `Exactly ${money(perPaymentMax)} per payment.`
        : `From ${money(perPaymentMin)} to ${money(perPaymentMax)} per payment.`,
    ...windows.map((window) => {
      const count =
        window.count === COUNT_UNLIMITED ? '' : ` and ${window.count} ${times(window.count)}`;
      return `At most ${money(window.max)}${count} ${windowText(window, 'en')}.`;
    }),
    ...(gap === undefined ? [] : [`At least ${spanText(gap, 'en')} between two payments.`]),
    `Payees: ${places(grant.allow).join(', and of these only ')}.`,
    ...(deny ? [`Never: ${places(deny).join(' or ')}.`] : []),
    `Ways to ask: ${channelsOf(grant)
      .map((channel) => CHANNEL_WORDS.en[channel])
      .join(', ')}.`,
    ...bands.map(
      ({ ceiling, level }) => `Up to ${money(ceiling)} with ${presenceText(level, 'en')}.`,
    ),
    ...(perPaymentMax > last.ceiling && last.level < 4
      ? [`Above ${money(last.ceiling)} only with a mandate for that one order.`]
      : []),
    ...(parent === undefined
      ? []
      : [`Handed on from mandate ${parent}: whatever that one limits stays limited.`]),
    `Drawn up on ${utc(grant.iat)}, in epoch ${grant.epoch}: it also ends when everything up to ` +
      `epoch ${grant.epoch} is revoked at once, as after a lost phone.`,
  ];
}

function chinese(
  grant: Grant,
  money: (minor: bigint) => string,
  nameOf: (payee: string) => string,
): readonly string[] {
  const { perPaymentMax, perPaymentMin, windows, bands, gap, parent, deny } = grant;
  const last = bands.at(-1)!;
  const places = (scopes: readonly Scope[]) =>
    byKind(scopes).map((some) => some.map((one) => scopeText(one, 'zh', nameOf)).join('、'));
  return [
    `允许密钥 ${grant.cnf.slice(0, 32)} 从账户 ${grant.funding} 付款，` +
      `自 ${utc(grant.nbf)} 起，至 ${utc(grant.exp)} 止。`,
    perPaymentMin === undefined
      ? `单笔最多 ${money(perPaymentMax)}。`
      : perPaymentMin === perPaymentMax
        ? `单笔恰好 ${money(perPaymentMax)}。`
        : `单笔 ${money(perPaymentMin)} 至 ${money(perPaymentMax)}。`,
    ...windows.map((window) => {
      const count = window.count === COUNT_UNLIMITED ? '' : `，${window.count} 笔`;
      return `${windowText(window, 'zh')}最多 ${money(window.max)}${count}。`;
    }),
    ...(gap === undefined ? [] : [`两笔之间至少间隔 ${spanText(gap, 'zh')}。`]),
    `收款方：${places(grant.allow).join('，并且仅限')}。`,
    ...(deny ? [`禁止：${places(deny).join('、')}。`] : []),
    `方式：${channelsOf(grant)
      .map((channel) => CHANNEL_WORDS.zh[channel])
      .join('、')}。`,
    ...bands.map(
      ({ ceiling, level }) => `不超过 ${money(ceiling)} 需要${presenceText(level, 'zh')}。`,
    ),
    ...(perPaymentMax > last.ceiling && last.level < 4
      ? [`超过 ${money(last.ceiling)} 仅限为该订单单独签署的授权。`]
      : []),
    ...(parent === undefined ? [] : [`转授自授权 ${parent}：其一切限制继续有效。`]),
    `拟定于 ${utc(grant.iat)}，属第 ${grant.epoch} 期：一次撤销第 ${grant.epoch} 期及以前的` +
      '全部授权时（例如手机遗失），本授权随之终止。',
  ];
}

/** Entries of one kind are alternatives, and every kind must match: one group per kind. */
function byKind(scopes: readonly Scope[]): readonly (readonly Scope[])[] {
  const groups = SCOPE_KINDS.map((kind) => scopes.filter((scope) => scope.kind === kind));
  return groups.filter((group) => group.length > 0);
}

const SCOPE_KINDS = Object.freeze(['payee', 'category', 'terminal', 'order', 'any'] as const);

function channelsOf(grant: Grant): readonly Channel[] {
  const all = Object.keys(CHANNELS) as Channel[];
  return all.filter((channel) => (grant.channels & CHANNELS[channel]) !== 0);
}

const CHANNEL_WORDS = Object.freeze({
  en: {
    voice: 'by voice',
    tap: 'by tap',
    look: 'by looking at a code',
    touch: 'by touch',
    autonomous: 'by itself, with nobody asked',
  },
  zh: {
    voice: '语音',
    tap: '碰一碰',
    look: '扫码',
    touch: '触摸',
    autonomous: '自动，不经人确认',
  },
} as const satisfies Record<'en' | 'zh', Record<Channel, string>>);

function presenceText(level: number, language: 'en' | 'zh'): string {
  const words = PRESENCE_WORDS[language][level]!;
  return language === 'zh' ? `确认级别 P${level}（${words}）` : `confirmation P${level} (${words})`;
}

const PRESENCE_WORDS = Object.freeze({
  en: [
    'nobody present',
    'a voice command',
    'a physical act on the device',
    'a physical act and a PIN or a matched speaker',
    'a mandate for that one order',
  ],
  zh: [
    '无人在场',
    '语音指令',
    '在设备上的操作',
    '在设备上的操作，并加密码或声纹',
    '为该订单单独签署的授权',
  ],
} as const);

const PERIODS_ZH = { day: '日', week: '周', month: '月', quarter: '季', year: '年' };

/** "per day (Asia/Shanghai)": which time a window is about. */
export function windowText(window: Window, language: 'en' | 'zh'): string {
  switch (window.kind) {
    case 'total':
      return language === 'zh' ? '总计' : 'in all';
    case 'calendar':
      return language === 'zh'
        ? `每${PERIODS_ZH[window.period]}（${window.zone}）`
        : `per ${window.period} (${window.zone})`;
    case 'rolling':
      return language === 'zh'
        ? `任意 ${spanText(window.seconds, 'zh')}内`
        : `within any ${spanText(window.seconds, 'en')}`;
  }
}

/** Seconds in the largest unit that they are whole in; a day of 24 hours is told in hours. */
export function spanText(seconds: number, language: 'en' | 'zh'): string {
  const [size, en, zh] = UNITS.find(([one]) => seconds % one === 0 && seconds > one - 1)!;
  const number = seconds / size;
  if (size === 86_400 && number === 1) return language === 'zh' ? '24 小时' : '24 hours';
  if (language === 'zh') return `${number} ${zh}`;
  return `${number} ${en}${number === 1 ? '' : 's'}`;
}

const UNITS = Object.freeze([
  [86_400, 'day', '天'],
  [3_600, 'hour', '小时'],
  [60, 'minute', '分钟'],
  [1, 'second', '秒'],
] as const);

function times(count: number): string {
  return count === 1 ? 'time' : 'times';
}

function scopeText(scope: Scope, language: 'en' | 'zh', nameOf: (payee: string) => string): string {
  switch (scope.kind) {
    case 'payee':
      return nameOf(scope.payee);
    case 'category': {
      const code = String(scope.category).padStart(4, '0');
      return language === 'zh' ? `类别 ${code}` : `category ${code}`;
    }
    case 'terminal':
      return language === 'zh' ? `终端 ${scope.terminal}` : `terminal ${scope.terminal}`;
    case 'order':
      return language === 'zh' ? `订单 ${scope.order}` : `order ${scope.order}`;
    case 'any':
      return language === 'zh' ? '任何已登记的收款方' : 'any enrolled payee';
  }
}
