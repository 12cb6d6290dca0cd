/**
 * What a device says to a person, in the person's language: what happened and what to do next.
 *
 * One table for both languages, so that none can be forgotten. "Refused" appears only where the
 * bridge said so or nothing was ever sent; everything else is "not confirmed yet".
 */
import { type Reason, reasonName } from '../src/errors.ts';
import type { Period, Window } from '../src/objects/mandate.ts';
import { spanText } from '../src/wallet.ts';
import type { Needs } from './confirm.ts';
import type { KeyTrouble } from './keys/store.ts';
import type { PinState } from './pin.ts';
import type { SpeakerFault } from './tries.ts';

export type Language = 'en' | 'zh';

type Pair = readonly [en: string, zh: string];

const REASON_PHRASES: Readonly<Record<Reason, Pair>> = {
  malformed: ['The message was damaged. Please try again.', '信息有误，请重试。'],
  non_canonical: ['The message was damaged. Please try again.', '信息有误，请重试。'],
  too_large: ['That was too long. Please try again.', '内容过长，请重试。'],
  bad_signature: [
    'The service does not recognise this device. Pair it again.',
    '服务无法识别本设备，请重新配对。',
  ],
  expired: ['It took too long. Please ask again.', '已超时，请重新发起。'],
  not_yet_valid: ['It is not valid yet. Try later.', '尚未生效，请稍后再试。'],
  revoked: ['This authorisation was revoked. Grant a new one.', '授权已撤销，请重新授权。'],
  suspended: [
    'This device is suspended. Call the operator: it needs a new key.',
    '本设备已暂停使用，需更换密钥，请联系运营方。',
  ],
  mandate_unknown: [
    'There is no authorisation for this. Grant one first.',
    '没有相应授权，请先授权。',
  ],
  funding_unknown: [
    'The account is not linked to your wallet. Link it first.',
    '账户未与钱包绑定，请先绑定。',
  ],
  currency_unknown: ['That currency is not known.', '无法识别该货币。'],
  currency_mismatch: ['Your authorisation is in another currency.', '授权的货币与此不符。'],
  limit_per_payment: [
    'That is more than you allowed for one payment. Pay less, or raise the limit in your wallet.',
    '超过单笔限额。请减少金额，或在钱包中提高限额。',
  ],
  limit_window: [
    'That would go over what you allowed for this period. Raise the limit in your wallet.',
    '超过本期累计限额。可在钱包中提高限额。',
  ],
  limit_count: [
    'You have used up the number of payments you allowed for this period.',
    '本期付款次数已用完。',
  ],
  limit_gap: ['Too soon after the last payment. Wait a little.', '距上次付款时间太短，请稍候。'],
  scope_payee: ['You have not allowed payments to this payee.', '未授权向该收款方付款。'],
  scope_category: ['You have not allowed this kind of shop.', '未授权该类商户。'],
  scope_channel: ['You have not allowed paying this way.', '未授权此付款方式。'],
  scope_terminal: ['You have not allowed this terminal.', '未授权该终端。'],
  order_expired: ['The order is too old. Ask for a new one.', '订单已过期，请重新下单。'],
  order_paid: ['This order has been paid already.', '该订单已支付。'],
  order_mismatch: ['The order does not match. Ask for a new one.', '订单信息不符，请重新下单。'],
  order_unknown: [
    'The shop’s order has not arrived yet. Try again in a moment.',
    '商户订单尚未到达，请稍后重试。',
  ],
  order_claimed: ['Somebody else is paying this order right now.', '有人正在支付该订单。'],
  counter_reused: [
    'This device was copied or restored. Call the operator: it needs a new key.',
    '本设备疑似被复制或恢复，需更换密钥，请联系运营方。',
  ],
  counter_gap: ['This device is out of step. Call the operator.', '本设备状态异常，请联系运营方。'],
  cancelled: ['It was cancelled.', '已取消。'],
  risk_denied: ['The safety check said no. Pay another way.', '未通过安全检查，请换一种方式付款。'],
  risk_step_up: ['Please approve this payment in your wallet.', '请在钱包中确认这笔付款。'],
  backend_declined: [
    'Your account declined it, perhaps for lack of money.',
    '账户拒绝付款，可能余额不足。',
  ],
  refund_exceeds: [
    'That is more than is left of what was paid. Refund less.',
    '超过可退金额，请减少退款金额。',
  ],
  original_unknown: [
    'There is no such payment. Check the order and try again.',
    '没有找到原付款，请核对订单后重试。',
  ],
  not_held: [
    'Nothing of that payment is held. To give money back, refund it.',
    '该笔付款没有预授权；如需退钱，请办理退款。',
  ],
  capture_exceeds: [
    'That is more than was held. Capture less.',
    '超过预授权金额，请减少收款金额。',
  ],
  original_busy: [
    'Something else is being done with that payment. Try again in a moment.',
    '该笔付款正在处理其他操作，请稍后重试。',
  ],
  downgrade_refused: ['This device must pay with an authorisation.', '本设备须使用授权付款。'],
  sim_in_live: ['This is a simulated device on a live service.', '模拟设备不能连接正式服务。'],
  residency: ['This payment may not leave its region.', '该笔付款不得离开所在地区。'],
  role_forbidden: ['This key may not do that.', '该密钥无权办理此操作。'],
  action_unsupported: ['The service cannot do that yet.', '服务暂不支持此操作。'],
  offline_not_allowed: [
    'There is no connection. Try again when it is back.',
    '网络未连接，请稍后再试。',
  ],
  offline_floor_limit: ['Too much without a connection.', '离线时金额过大。'],
  offline_stored_amount: ['Too much is waiting already.', '待上传金额已达上限。'],
  offline_stored_count: ['Too many payments are waiting already.', '待上传笔数已达上限。'],
  offline_payer_velocity: ['Too many payments without a connection.', '离线付款次数过多。'],
  offline_window_expired: ['Without a connection for too long.', '离线时间过长。'],
  offline_upload_overdue: ['Waiting payments are overdue.', '待上传付款已逾期。'],
  offline_policy_stale: ['The rules on this device are too old.', '本设备规则已过期。'],
  offline_go_online: ['Connect first, then try again.', '请先联网再试。'],
  lease_exhausted: ['The offline allowance is used up.', '离线额度已用完。'],
  lease_expired: ['The offline allowance has ended.', '离线额度已到期。'],
  presence_too_low: [
    'This amount needs a stronger confirmation than this device can take.',
    '该金额需要更强的确认方式，本设备无法完成。',
  ],
  presence_stale: ['The confirmation was too long ago. Ask again.', '确认已失效，请重新发起。'],
  backend_unknown: [
    'Not confirmed yet. Do not pay again; I will tell you.',
    '尚未确认，请勿重复付款，有结果会通知您。',
  ],
  in_progress: ['Still in progress. Do not pay again.', '处理中，请勿重复付款。'],
  not_seen: ['The service has not seen it yet. Do not pay again.', '服务尚未收到，请勿重复付款。'],
  clock_untrusted: [
    'I do not know the time yet. Try again in a moment.',
    '时间尚未校准，请稍后再试。',
  ],
  stale_nonce: ['That took too long to arrive. Please ask again.', '请求到达过晚，请重新发起。'],
  rate_limited: ['Too many at once. Wait a moment.', '请求过多，请稍候。'],
  unavailable: ['The service is not available now. Try again later.', '服务暂不可用，请稍后再试。'],
};

/** What a reason means for the person. An unknown code falls back on its hundreds digit. */
export function reasonPhrase(code: number | Reason, language: Language): string {
  const name = typeof code === 'number' ? reasonName(code) : code;
  const pair = name ? REASON_PHRASES[name] : fallback(code as number);
  return pick(pair, language);
}

/** What will be asked for; P3 is a PIN unless it is a phrase. */
type Asked = Needs | 'phrase';

/** The sentences that are not reasons. */
export const phrases = {
  ask: (amount: string, payee: string, needs: Asked, language: Language) =>
    pickBy(
      needs,
      {
        1: [
          `Pay ${amount} to ${payee}? Say “confirm payment” or tap the temple.`,
          `向${payee}支付${amount}？请说“确认支付”或轻触镜腿。`,
        ],
        2: [
          `Pay ${amount} to ${payee}? Tap the temple to pay.`,
          `向${payee}支付${amount}？请轻触镜腿支付。`,
        ],
        3: [
          `Pay ${amount} to ${payee}? Tap the temple, then enter the PIN.`,
          `向${payee}支付${amount}？请轻触镜腿，然后输入密码。`,
        ],
        phrase: [
          `Pay ${amount} to ${payee}? Tap the temple, then say a phrase.`,
          `向${payee}支付${amount}？请轻触镜腿，然后说出口令。`,
        ],
      },
      language,
    ),
  /** As `ask`, when `open` to the same payee has not ended: amounts, oldest first. */
  askAgain: (
    open: readonly string[],
    amount: string,
    payee: string,
    needs: Asked,
    language: Language,
  ) =>
    phrases.notConfirmed(open, payee, language) +
    pickBy(
      needs,
      {
        1: [
          ` Pay another ${amount}? Say “confirm payment” or tap the temple.`,
          `要再支付${amount}吗？请说“确认支付”或轻触镜腿。`,
        ],
        2: [
          ` Pay another ${amount}? Tap the temple to pay.`,
          `要再支付${amount}吗？请轻触镜腿支付。`,
        ],
        3: [
          ` Pay another ${amount}? Tap the temple, then enter the PIN.`,
          `要再支付${amount}吗？请轻触镜腿，然后输入密码。`,
        ],
        phrase: [
          ` Pay another ${amount}? Tap the temple, then say a phrase.`,
          `要再支付${amount}吗？请轻触镜腿，然后说出口令。`,
        ],
      },
      language,
    ),
  notConfirmed: (open: readonly string[], payee: string, language: Language) =>
    pick(
      [
        `${open.join(' and ')} to ${payee} ${open.length > 1 ? 'are' : 'is'} not confirmed yet.`,
        `向${payee}支付的${open.join('、')}尚未确认。`,
      ],
      language,
    ),
  /** After a “no” to a new question, which is none to what was sent before. */
  mayCancel: (language: Language) => pick([' You can say “cancel”.', '可以说“取消”。'], language),
  /** At the end of the program. */
  leaving: (language: Language) =>
    pick(
      [' Do not pay again; it goes on at the next start.', '请勿重复付款，下次启动时会继续处理。'],
      language,
    ),
  stillOpen: (language: Language) => pick(['not confirmed yet', '尚未确认'], language),
  needPress: (language: Language) =>
    pick(['This amount needs a tap on the temple.', '该金额需要轻触镜腿确认。'], language),
  enterPin: (language: Language) =>
    pick(
      ['Enter the PIN on the device, or say “cancel”.', '请在设备上输入密码，或说“取消”。'],
      language,
    ),
  /** The phrase is shown and read out; each digit is said by itself. */
  sayPhrase: (phrase: string, language: Language) =>
    pick([`Say: “${phrase}”, or say “cancel”.`, `请说：“${phrase}”，或说“取消”。`], language),
  wrongPhrase: (language: Language) =>
    pick(['That was not the phrase. Here is a new one.', '没有听清口令，请读新的口令。'], language),
  wrongSpeaker: (left: number, language: Language) =>
    pick(
      [
        `I do not recognise the voice. ${left} ${left === 1 ? 'try' : 'tries'} left.`,
        `未能识别声音，还可尝试${left}次。`,
      ],
      language,
    ),
  /** Why an amount that needs the phrase cannot be confirmed here, and what to do about it. */
  speakerTrouble: (state: SpeakerFault['state'], language: Language) =>
    pickBy(
      state,
      {
        unheard: [
          'I could not hear the phrase. Find a quiet place, then ask again.',
          '未能听清口令，请到安静处重新发起。',
        ],
        locked: [
          'The voice check of this device is locked: set a PIN.',
          '本设备的声纹验证已锁定，请设置密码。',
        ],
        damaged: [
          'The voice check of this device is damaged: set a PIN.',
          '本设备的声纹验证已损坏，请设置密码。',
        ],
      },
      language,
    ),
  neverSayPin: (language: Language) =>
    pick(
      [
        'Never say the PIN. Enter it on the device, or say “cancel”.',
        '请勿说出密码。请在设备上输入，或说“取消”。',
      ],
      language,
    ),
  wrongPin: (left: number, language: Language) =>
    pick(
      [
        `That is not the PIN. ${left} ${left === 1 ? 'try' : 'tries'} left.`,
        `密码错误，还可尝试${left}次。`,
      ],
      language,
    ),
  /** Why an amount that needs the PIN cannot be confirmed here, and what to do about it. */
  pinTrouble: (state: Exclude<PinState, 'ready'>, language: Language) =>
    pickBy(
      state,
      {
        none: [
          'This amount needs a PIN, and this device has none: set one first.',
          '该金额需要密码，本设备尚未设置，请先设置。',
        ],
        locked: [
          'The PIN of this device is locked: have it set anew.',
          '本设备的密码已锁定，请重新设置。',
        ],
        damaged: [
          'The PIN of this device is damaged: have it set anew.',
          '本设备的密码已损坏，请重新设置。',
        ],
      },
      language,
    ),
  /** Said when the device is put on again. */
  takenOff: (language: Language) =>
    pick(
      [
        'It was taken off, so nothing was sent. Please ask again.',
        '设备曾被取下，未发送，请重新发起。',
      ],
      language,
    ),
  putOn: (language: Language) => pick(['Put it on first.', '请先戴上设备。'], language),
  onlyConfirm: (language: Language) =>
    pick(['Say “confirm payment” or “cancel”.', '请说“确认支付”或“取消”。'], language),
  sending: (language: Language) => pick(['Paying…', '正在支付…'], language),
  paid: (amount: string, payee: string, language: Language) =>
    pick([`Paid ${amount} to ${payee}.`, `已向${payee}支付${amount}。`], language),
  refused: (why: string, language: Language) =>
    pick([`Not paid, nothing was charged. ${why}`, `未支付，未扣款。${why}`], language),
  notSent: (why: string, language: Language) =>
    pick([`Nothing was sent, nothing was charged. ${why}`, `未发送，未扣款。${why}`], language),
  /** Why the key did not sign, and what to do about it. */
  keyTrouble: (trouble: KeyTrouble, language: Language) =>
    pickBy(
      trouble,
      {
        away: [
          'The key of this device is not there: put it back.',
          '本设备的密钥不在，请将其放回。',
        ],
        refused: [
          'The key of this device does not sign: call its operator.',
          '本设备的密钥无法签名，请联系运营方。',
        ],
      },
      language,
    ),
  /** After a confirmed payment that the key did not sign. */
  askedAgain: (language: Language) =>
    pick(
      ['Then say “confirm” or press, and I ask again.', '然后说“确认”或按一下，我会再次询问。'],
      language,
    ),
  cancelled: (language: Language) =>
    pick(['Cancelled. Nothing was sent.', '已取消，未发送。'], language),
  nothingToCancel: (language: Language) =>
    pick(['There is nothing open to cancel.', '当前没有可取消的付款。'], language),
  nothingToConfirm: (language: Language) =>
    pick(['There is nothing to confirm now.', '当前没有待确认的付款。'], language),
  toWhom: (amount: string, language: Language) =>
    pick(
      [`${amount} to whom? Say it in one sentence.`, `${amount}付给谁？请用一句话说。`],
      language,
    ),
  timedOut: (language: Language) =>
    pick(['No answer, so nothing was sent.', '未收到确认，未发送。'], language),
  unconfirmed: (code: number, language: Language) =>
    reasonPhrase(code, language) + phrases.mayCancel(language),
  cancelling: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `Asked to cancel ${amount} to ${payee}; not cancelled until I say so. Do not pay again.`,
        `已请求取消向${payee}支付的${amount}；在我告知之前尚未取消，请勿重复付款。`,
      ],
      language,
    ),
  cancelFailed: (language: Language) =>
    pick(
      [
        'I could not ask to cancel it. It is not cancelled. Do not pay again.',
        '无法请求取消，付款尚未取消，请勿重复付款。',
      ],
      language,
    ),
  cancelledForGood: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `Cancelled: you were not charged the ${amount} to ${payee}.`,
        `已取消：向${payee}支付的${amount}未扣款。`,
      ],
      language,
    ),
  paidBeforeCancel: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `It was paid before it could be cancelled: ${amount} to ${payee}.`,
        `未能取消，款项已先行支付：${amount}付给${payee}。`,
      ],
      language,
    ),
  gaveUp: (amount: string, payee: string, language: Language) =>
    pick(
      [
        `${amount} to ${payee} was never confirmed. Do not pay it again; ask the operator first.`,
        `向${payee}支付的${amount}一直未获确认。请勿重复付款，请先联系运营方。`,
      ],
      language,
    ),
  howMuch: (payee: string, language: Language) =>
    pick([`How much to ${payee}?`, `向${payee}支付多少？`], language),
  twoPayees: (language: Language) =>
    pick(
      [
        'Two payees have that name. Tap or look at theirs instead.',
        '有同名收款方，请改用碰一碰或扫码。',
      ],
      language,
    ),
  miss: (why: string, heard: string | undefined, language: Language) =>
    pick(
      MISSES[why] ? [MISSES[why][0](heard ?? ''), MISSES[why][1](heard ?? '')] : ['?', '？'],
      language,
    ),
  noCode: (language: Language) =>
    pick(['I see no payment code that I know.', '没有看到可识别的付款码。'], language),
  busy: (language: Language) =>
    pick(
      ['One payment at a time. Confirm or cancel this one first.', '请先确认或取消当前付款。'],
      language,
    ),
  left: (amounts: readonly string[], language: Language) =>
    pick(
      amounts.length === 0
        ? ['I will know what is left after the first payment.', '首次付款后即可查询剩余额度。']
        : [`Left: ${amounts.join(' · ')}.`, `剩余额度：${amounts.join(' · ')}。`],
      language,
    ),
  /** What a window of the mandate has left. */
  leftOf: (amount: string, window: Window, language: Language) => {
    switch (window.kind) {
      case 'total':
        return pick([`${amount} in all`, `总计${amount}`], language);
      case 'calendar':
        return pick(
          [`${amount} for the ${window.period}`, `当${PERIODS_ZH[window.period]}${amount}`],
          language,
        );
      case 'rolling': {
        const span = spanText(window.seconds, language);
        return pick([`${amount} within any ${span}`, `任意${span}内${amount}`], language);
      }
    }
  },
  help: (language: Language) =>
    pick(
      [
        'Say “pay 12.50 yuan to …”, “balance”, “receipts” or “cancel”. ' +
          'Look at or tap a code to pay it.',
        '可以说“付二十元给……”“余额”“收据”或“取消”，也可扫码或碰一碰付款。',
      ],
      language,
    ),
  noReceipts: (language: Language) => pick(['No payments yet.', '暂无付款记录。'], language),
  copied: (language: Language) => reasonPhrase('counter_reused', language),
  /** The operator, or the wearer, has ended this device. */
  ended: (language: Language) =>
    pick(
      [
        'This device was unpaired. Nothing is paid with it any more, and it forgets what it knows.',
        '本设备已被解绑，不能再用于付款，其数据将被清除。',
      ],
      language,
    ),
  wiped: (language: Language) =>
    pick(
      [
        'this device was unpaired and is wiped; to use it again run saytap device enrol',
        '本设备已解绑并清除数据；如需再次使用，请运行 saytap device enrol',
      ],
      language,
    ),
  /** The key that is over is not the device's any more. */
  enrolledAnew: (language: Language) =>
    pick(
      [
        'this device was enrolled anew while it ran; start it again: it goes on with its new key',
        '本设备在运行期间已重新登记，请重新启动，以使用新的密钥',
      ],
      language,
    ),
  /** At the start, when the outbox was damaged; `open` entries without an end were found in it. */
  setAside: (open: number, language: Language) =>
    pick(
      [
        'The memory of this device was damaged and is set aside. ' +
          (open === 0
            ? 'No payment without an answer was found in it. '
            : `${open} without an answer ${open === 1 ? 'was' : 'were'} saved and will go on. `) +
          'Others may be missing: if you never heard how a payment ended, ask the operator ' +
          'before it is paid again.',
        '本设备的记录已损坏，损坏的文件已另行保存。' +
          (open === 0 ? '未找到尚无结果的付款。' : `已找回${open}笔尚无结果的业务，将继续处理。`) +
          '可能仍有遗漏：如某笔付款您未听到结果，请先向运营方查询，再决定是否重付。',
      ],
      language,
    ),
  /** When the disk has failed: the program ends and is started again. */
  diskFailed: (language: Language) =>
    pick(
      [
        'The disk of this device has failed. Do not pay again what is not confirmed yet.',
        '本设备的存储出现故障。尚未确认的付款请勿重复支付。',
      ],
      language,
    ),
} as const;

const PERIODS_ZH: Readonly<Record<Period, string>> = {
  day: '日',
  week: '周',
  month: '月',
  quarter: '季',
  year: '年',
};

type Act = 'refund' | 'capture' | 'void';

/** Where a reason means another thing to a clerk than to who pays. */
const CLERK_REASONS: Readonly<Partial<Record<Reason, Pair>>> = {
  currency_mismatch: ['The order is in another currency.', '订单为其他货币。'],
};

/** As `reasonPhrase`, to a clerk. */
export function clerkReason(code: number | Reason, language: Language): string {
  const name = typeof code === 'number' ? reasonName(code) : code;
  const own = name && CLERK_REASONS[name];
  return own ? pick(own, language) : reasonPhrase(code, language);
}

/** What a device says while it is enrolled. */
export const enrolPhrases = {
  scan: (language: Language) =>
    pick(
      [
        'Scan this code with the phone of whoever approves devices here, or open this link:',
        '请管理员用手机扫描此二维码，或打开下面的链接：',
      ],
      language,
    ),
  compare: (code: string, language: Language) =>
    pick(
      [
        `Or type this code on the bridge's page, or: saytap device approve ${code}`,
        `也可在管理页面输入此代码，或运行：saytap device approve ${code}`,
      ],
      language,
    ),
  away: (why: string, language: Language) =>
    pick(
      [
        `The bridge does not answer (${why}). Trying again; nothing is lost.`,
        `服务没有应答（${why}）。正在重试，进度不会丢失。`,
      ],
      language,
    ),
  back: (language: Language) => pick(['The bridge answers again.', '服务已恢复应答。'], language),
  unsigned: (language: Language) =>
    pick(
      [
        'Approved. The root has still to sign; leave this running.',
        '已批准，等待根密钥签名，请保持运行。',
      ],
      language,
    ),
  root: (fingerprint: string, language: Language) =>
    pick(
      [
        `It trusts the root ${fingerprint} from now on. Ask the operator whether it is theirs.`,
        `从现在起信任根密钥 ${fingerprint}。请与运营方核对。`,
      ],
      language,
    ),
  done: (name: string, language: Language) =>
    pick([`Enrolled as ${name}.`, `注册完成，名称为${name}。`], language),
  already: (name: string, language: Language) =>
    pick(
      [`This device is enrolled already, as ${name}.`, `本设备已注册，名称为${name}。`],
      language,
    ),
  refused: (language: Language) =>
    pick(
      [
        'the operator refused this device; ask why, then run it again for a new code',
        '运营方拒绝了本设备；请询问原因，再重新运行以获取新代码',
      ],
      language,
    ),
  over: (language: Language) =>
    pick(
      [
        'the key of this device counts no more; run saytap device enrol --again for a new one',
        '本设备的密钥已失效；请运行 saytap device enrol --again 以更换密钥',
      ],
      language,
    ),
  renewing: (language: Language) =>
    pick(
      [
        'It gets a new key while it runs: within a minute, or when it is started.',
        '设备将在运行时更换密钥：一分钟内，或下次启动时。',
      ],
      language,
    ),
  renewingAlready: (language: Language) =>
    pick(
      [
        'A new key is under way already: leave the device running.',
        '新密钥已在更换中，请保持设备运行。',
      ],
      language,
    ),
};

/** What a terminal says to the clerk; `order` is as much of the order's id as people read. */
export const clerkPhrases = {
  ask: (action: Act, amount: string, order: string, payee: string, language: Language) =>
    pickBy(
      action,
      {
        refund: [
          `${payee}: refund ${amount} of order ${order}? Press the button to confirm.`,
          `${payee}：退还订单${order}的${amount}？请按键确认。`,
        ],
        capture: [
          `${payee}: take ${amount} of what order ${order} holds? Press the button to confirm.`,
          `${payee}：从订单${order}的预授权中收取${amount}？请按键确认。`,
        ],
        void: [
          `${payee}: release the ${amount} that order ${order} holds? Press the button to confirm.`,
          `${payee}：解除订单${order}的${amount}预授权？请按键确认。`,
        ],
      },
      language,
    ),
  busy: (language: Language) =>
    pick(
      ['One thing at a time. Press the button or say “cancel”.', '请先按键确认或取消。'],
      language,
    ),
  needPress: (language: Language) =>
    pick(['Press the button to confirm, or say “cancel”.', '请按键确认，或说“取消”。'], language),
  sending: (language: Language) => pick(['Working on it…', '正在办理…'], language),
  done: (action: Act, amount: string, order: string, language: Language) =>
    pickBy(
      action,
      {
        refund: [`Refunded ${amount} of order ${order}.`, `订单${order}已退款${amount}。`],
        capture: [`Took ${amount} for order ${order}.`, `订单${order}已收款${amount}。`],
        void: [
          `Released the ${amount} that order ${order} held.`,
          `订单${order}的${amount}预授权已解除。`,
        ],
      },
      language,
    ),
  refused: (why: string, language: Language) =>
    pick([`Not done, nothing moved. ${why}`, `未办理，款项未变动。${why}`], language),
  notSent: (why: string, language: Language) =>
    pick([`Nothing was sent, nothing moved. ${why}`, `未发送，款项未变动。${why}`], language),
  unconfirmed: (language: Language) =>
    pick(
      [
        'Not confirmed yet. Do not do it again; I will tell you.',
        '尚未确认，请勿重复操作，有结果会通知您。',
      ],
      language,
    ),
  gaveUp: (action: Act | undefined, order: string, language: Language) =>
    pickBy(
      action ?? 'order',
      {
        refund: [`The refund of order ${order}`, `订单${order}的退款`],
        capture: [`The capture of order ${order}`, `订单${order}的收款`],
        void: [`The release of order ${order}`, `订单${order}的预授权解除`],
        order: [`Order ${order}`, `订单${order}`],
      },
      language,
    ) +
    pick(
      [
        ' was never confirmed. Do not do it again; ask the operator first.',
        '一直未获确认。请勿重复操作，请先联系运营方。',
      ],
      language,
    ),
  /** An order as it was understood: its total, which its lines add up to. */
  total: (amount: string, order: string, language: Language) =>
    pick([`Order ${order}, total ${amount}.`, `订单${order}，合计${amount}。`], language),
  /** Leaving in the middle of something. */
  leaving: (language: Language) =>
    pick(
      [
        'Not confirmed yet. Do not do it again; it goes on at the next start.',
        '尚未确认，请勿重复操作，下次启动时会继续处理。',
      ],
      language,
    ),
  /** After an amount that is too much, or when nothing is left. */
  leftOf: (amount: string | undefined, order: string, language: Language) =>
    pick(
      amount === undefined
        ? [` Nothing of order ${order} is left.`, `订单${order}已无可用金额。`]
        : [` ${amount} of order ${order} is left.`, `订单${order}还剩${amount}。`],
      language,
    ),
  orderPaid: (amount: string, order: string, language: Language) =>
    pick([`Order ${order} is paid: ${amount}.`, `订单${order}已支付${amount}。`], language),
  orderHeld: (amount: string, order: string, language: Language) =>
    pick(
      [
        `Order ${order} is held: ${amount}. Capture or void it.`,
        `订单${order}已预授权${amount}，请收款或解除。`,
      ],
      language,
    ),
  orderOver: (order: string, why: string, language: Language) =>
    pick([`Order ${order} is not paid. ${why}`, `订单${order}未支付。${why}`], language),
  help: (language: Language) =>
    pick(
      [
        'An order: “2 Latte 40 yuan” (40 for both). Of one that was paid: “refund last 5 yuan”, ' +
          '“refund ORDER”; of one that is held: “capture ORDER”, “void ORDER”. ' +
          'From a tag: “collect 2 Latte 40 yuan”. What waits: “stored”.',
        '下单：“2 拿铁 40元”（两杯共40元）。已支付：“退款 last 5元”“退款 订单号”；' +
          '已预授权：“收款 订单号”“解除 订单号”。刷卡：“刷卡 2 拿铁 40元”。查询待上传：“待上传”。',
      ],
      language,
    ),
  emptyLine: (language: Language) =>
    pick(['An empty line presses the button.', '空行表示按键。'], language),
} as const;

const MISSES: Readonly<
  Record<string, readonly [(heard: string) => string, (heard: string) => string]>
> = {
  no_match: [
    () => 'I did not understand. Say “help” for examples.',
    () => '没有听懂。说“帮助”查看示例。',
  ],
  unknown_payee: [(heard) => `I do not know “${heard}”.`, (heard) => `不认识收款方“${heard}”。`],
  no_currency: [
    () => 'Which currency? Say for example “5 yuan”.',
    () => '什么货币？例如说“五元”。',
  ],
  too_long: [() => 'That was too long. Say it shorter.', () => '内容过长，请简短一些。'],
  out_of_bounds: [() => 'I cannot pay that amount.', () => '无法支付该金额。'],
};

function fallback(code: number): Pair {
  if (code >= 400) return REASON_PHRASES.unavailable;
  if (code >= 300) return REASON_PHRASES.in_progress;
  if (code >= 200) return REASON_PHRASES.risk_step_up;
  return ['It was refused.', '已被拒绝。'];
}

/** The one of a pair that is in this language. */
export function pick(pair: Pair, language: Language): string {
  return language === 'zh' ? pair[1] : pair[0];
}

function pickBy<K extends string | number>(
  key: K,
  table: Readonly<Record<K, Pair>>,
  language: Language,
): string {
  return pick(table[key], language);
}
