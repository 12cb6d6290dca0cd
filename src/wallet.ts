/**
 * The payer's wallet: says in words what is being authorised, and signs exactly that.
 *
 * The text is made from the mandate's fields and its digest goes into the mandate, so what the
 * person agreed to can be shown again years later and compared.
 */
import { hash } from 'node:crypto';
import { utf8 } from './bytes.ts';
import { type Realm, type Signer, identify } from './cose.ts';
import { formatMoney } from './money.ts';
import { seal } from './objects/kind.ts';
import {
  type Mandate,
  type Scope,
  type Window,
  mandate as mandateKind,
} from './objects/mandate.ts';
import { CHANNELS } from './objects/request.ts';

/** Everything of a mandate that the person decides; the digest of the text is added here. */
export type Grant = Omit<Mandate, 'textDigest'>;

/** The sentences that the person reads before agreeing; payees by the names in `nameOf`. */
export function grantText(
  grant: Grant,
  language: 'en' | 'zh',
  nameOf: (payee: string) => string,
): string {
  const money = (minor: bigint) => formatMoney({ currency: grant.currency, minor }, language);
  const key = grant.cnf.slice(0, 16);
  const until = new Date(grant.exp * 1000).toISOString().replace('T', ' ').slice(0, 16);
  const channels = Object.entries(CHANNELS)
    .filter(([, bit]) => (grant.channels & bit) !== 0)
    .map(([channel]) => channel);
  const lines =
    language === 'zh'
      ? [
          `允许密钥 ${key} 从账户 ${grant.funding} 付款，直至 ${until} UTC。`,
          `单笔最多 ${money(grant.perPaymentMax)}。`,
          ...grant.windows.map(
            (window) =>
              `${windowText(window, 'zh')}最多 ${money(window.max)}，${window.count} 笔。`,
          ),
          `收款方：${grant.allow.map((scope) => scopeText(scope, 'zh', nameOf)).join('、')}。`,
          `方式：${channels.join('、')}。`,
        ]
      : [
          `Let the key ${key} pay from account ${grant.funding} until ${until} UTC.`,
          `At most ${money(grant.perPaymentMax)} per payment.`,
          ...grant.windows.map(
            (window) =>
              `At most ${money(window.max)} and ${window.count} times ${windowText(window, 'en')}.`,
          ),
          `Payees: ${grant.allow.map((scope) => scopeText(scope, 'en', nameOf)).join(', ')}.`,
          `Ways to ask: ${channels.join(', ')}.`,
        ];
  for (const { ceiling, level } of grant.bands) {
    lines.push(
      language === 'zh'
        ? `不超过 ${money(ceiling)} 需要确认级别 P${level}。`
        : `Up to ${money(ceiling)} with confirmation P${level}.`,
    );
  }
  if (grant.deny) {
    const denied = grant.deny.map((scope) => scopeText(scope, language, nameOf)).join(', ');
    lines.push(language === 'zh' ? `禁止：${denied}。` : `Never: ${denied}.`);
  }
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

const PERIODS_ZH = { day: '日', week: '周', month: '月', quarter: '季', year: '年' };

function windowText(window: Window, language: 'en' | 'zh'): string {
  switch (window.kind) {
    case 'total':
      return language === 'zh' ? '总计' : 'in all';
    case 'calendar':
      return language === 'zh'
        ? `每${PERIODS_ZH[window.period]}（${window.zone}）`
        : `per ${window.period} (${window.zone})`;
    case 'rolling':
      return language === 'zh'
        ? `任意 ${window.seconds} 秒内`
        : `within any ${window.seconds} seconds`;
  }
}

function scopeText(scope: Scope, language: 'en' | 'zh', nameOf: (payee: string) => string): string {
  switch (scope.kind) {
    case 'payee':
      return nameOf(scope.payee);
    case 'category':
      return language === 'zh' ? `类别 ${scope.category}` : `category ${scope.category}`;
    case 'terminal':
      return language === 'zh' ? `终端 ${scope.terminal}` : `terminal ${scope.terminal}`;
    case 'order':
      return language === 'zh' ? `订单 ${scope.order}` : `order ${scope.order}`;
    case 'any':
      return language === 'zh' ? '任何已登记的收款方' : 'any enrolled payee';
  }
}
