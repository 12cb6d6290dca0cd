/**
 * What a kiosk says when it collects: to whoever taps a tag, what concerns that person alone; to
 * staff, how much waits and how every payment that was accepted offline ended.
 *
 * "Paid" is said only on a signed final receipt. Until then a payment is accepted, which is another
 * word and another colour, and what waits for others is nobody's business but the staff's.
 */
import { formatMoney } from '../src/money.ts';
import { type Language, phrases, pick } from './phrases.ts';
import type { Figures, NearLimit } from './waiting.ts';

/** To whoever stands before a device that collects or pays offline. */
export const collectPhrases = {
  /** A bill that is ready for a tag; `bill` is one line of what it is for. */
  tapNow: (bill: string, language: Language) =>
    pick([`${bill}. Tap your tag.`, `${bill}。请刷卡。`], language),
  ask: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `Pay ${amount} to ${payee}? Press the button to pay.`,
        `向${payee}支付${amount}？请按键支付。`,
      ],
      language,
    ),
  /** As `ask`, when `open` under the same tag has not ended: amounts, oldest first. */
  askAgain: (open: readonly string[], amount: string, payee: string, language: Language) =>
    phrases.notConfirmed(open, payee, language) +
    pick(
      [` Pay another ${amount}? Press the button to pay.`, `要再支付${amount}吗？请按键支付。`],
      language,
    ),
  /** Accepted offline: what the person may rely on, and no more. */
  accepted: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `Accepted: ${amount} to ${payee} will be booked when this device is online. ` +
          'Do not pay again.',
        `已受理：向${payee}支付的${amount}将在本设备联网后入账，请勿重复付款。`,
      ],
      language,
    ),
  noBill: (language: Language) =>
    pick(
      ['There is nothing to pay here now. Ask the staff.', '当前没有待付款项，请联系店员。'],
      language,
    ),
  unknownTag: (language: Language) =>
    pick(['This tag cannot pay here.', '此卡不能在此付款。'], language),
} as const;

/** To the staff of a kiosk. */
export const staffPhrases = {
  /** What waits: how many, how much, how old, and which limit is nearest. */
  waiting: ({ count, sums, oldestS, nearest }: Figures, language: Language) => {
    if (count === 0) return pick(['Nothing waits to be sent.', '没有待上传的付款。'], language);
    const sum = sums.map((one) => formatMoney(one, language)).join(' + ');
    const age = oldestS === undefined ? undefined : ageText(oldestS, language);
    const en = `${count} ${count === 1 ? 'payment waits' : 'payments wait'} to be sent: ${sum}`;
    const oldest =
      age === undefined ? ['', ''] : [`, the oldest for ${age}`, `，最早的已等待${age}`];
    return (
      pick([`${en}${oldest[0]}.`, `有${count}笔付款待上传，共${sum}${oldest[1]}。`], language) +
      (nearest ? near(nearest, language) : '')
    );
  },
  /** More in a row than the policy likes. */
  connectSoon: (language: Language) =>
    pick(
      [' Connect this kiosk soon, or it will stop accepting.', '请尽快联网，否则将停止受理。'],
      language,
    ),
  booked: (amount: string, language: Language) =>
    pick([`Paid: ${amount}, accepted earlier.`, `此前受理的${amount}已支付。`], language),
  notBooked: (amount: string, why: string, language: Language) =>
    pick(
      [
        `NOT PAID: ${amount}, accepted earlier, will not come. ${why}`,
        `未支付：此前受理的${amount}未能收款。${why}`,
      ],
      language,
    ),
  dropped: (language: Language) =>
    pick(['Nothing is to be paid any more.', '已取消待付款项。'], language),
} as const;

const NEAR: Readonly<Record<NearLimit['limit'], readonly [en: string, zh: string]>> = {
  stored_count: ['payments waiting', '待上传笔数'],
  stored_amount: ['amount waiting', '待上传金额'],
  go_online: ['payments in a row', '连续离线笔数'],
  upload: ['age of the oldest', '最早付款等待时间'],
  window: ['time without the service', '离线时间'],
  policy: ['age of the rules', '规则使用时间'],
};

function near({ limit, used, max, currency }: NearLimit, language: Language): string {
  const say = (value: bigint) => {
    if (limit === 'stored_count' || limit === 'go_online') return String(value);
    if (limit === 'stored_amount') return formatMoney({ currency, minor: value }, language);
    return ageText(Number(value), language);
  };
  return pick(
    [
      ` Nearest limit: ${NEAR[limit][0]}, ${say(used)} of ${say(max)}.`,
      `最接近的限额：${NEAR[limit][1]}，${say(used)}／${say(max)}。`,
    ],
    language,
  );
}

/** Whole units of the largest that fits at least twice: "90 s", "4 min", "3 h", "2 d". */
function ageText(seconds: number, language: Language): string {
  const [size, en, zh] = UNITS.find(([one]) => seconds >= 2 * one) ?? UNITS.at(-1)!;
  const count = Math.floor(seconds / size);
  return language === 'zh' ? `${count}${zh}` : `${count} ${en}`;
}

const UNITS = [
  [86_400, 'd', '天'],
  [3_600, 'h', '小时'],
  [60, 'min', '分钟'],
  [1, 's', '秒'],
] as const;
