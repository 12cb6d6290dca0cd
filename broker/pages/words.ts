/**
 * Every word of the pages, in English and Chinese. A key that one language lacks does not compile.
 */
import type { Reason } from '../../src/errors.ts';

export type Language = 'en' | 'zh';
export type Words = typeof EN;

export const LANGUAGES: Readonly<Record<Language, Words>> = Object.freeze({
  get en() {
    return EN;
  },
  get zh() {
    return ZH;
  },
});

/** The first of a person's languages that the pages speak. */
export function languageOf(wanted: readonly string[]): Language {
  const spoken = wanted.map((one) => one.slice(0, 2).toLowerCase());
  const found = spoken.find((one) => one === 'en' || one === 'zh');
  return found === 'zh' ? 'zh' : 'en';
}

/** A refusal as a sentence that says what to do next. */
export function refusal(words: Words, reason: Reason, why: string): string {
  const said: Readonly<Partial<Record<Reason, string>>> = words.refusals;
  return said[reason] ?? `${words.refused} ${why} (${reason})`;
}

const EN = {
  other: '中文',
  otherLanguage: 'zh' as Language,
  wallet: 'Wallet',
  pairing: 'Pairing',
  working: 'One moment …',
  refused: 'That was not done:',
  refusals: {
    bad_signature: 'You are not logged in, or this link was used already. Ask for a new link.',
    role_forbidden: 'This login may not do that.',
    rate_limited:
      'Too much at once, or too many. Block a phone or device that is not used, or wait a minute ' +
      'and try again.',
    unavailable: 'No answer. Check the network and try again.',
    funding_unknown: 'The account is not known at the payment provider. Ask whoever sent the link.',
    suspended: 'That name or key is taken or suspended. Choose another name.',
    revoked: 'This was blocked or revoked and does not count any more.',
    expired: 'That took too long. Begin again; and check that this phone’s clock is right.',
    original_unknown:
      'No device with this code is waiting. It may have waited too long: start again on it.',
  },
  back: 'Back',
  cancel: 'Cancel',
  logout: 'Log out',
  loginNeeded: 'Open your link',
  wearerLogin:
    'To use your wallet, open the one-time link that your payment provider gave you. A ' +
    'link works once and for ten minutes.',
  operatorLogin:
    'Pairing is for operators and for the wearer of the device. An operator gets a ' +
    'one-time link with this command on the bridge’s machine:',
  wearerHere: 'If the device is yours: open your wallet first, then scan the code again.',
  toWallet: 'Open my wallet',
  otherAccount: 'Another login',
  otherAccountAsk: (funding: string) =>
    `This browser is logged in for ${funding}. The link that was opened is a new ` +
    'login. Only go on if you asked for it.',
  logInAnyway: 'Use the new link',
  stay: 'Stay logged in as I am',

  setUp: 'Set up this phone',
  setUpWhy:
    'Your wallet is a key that is made here and stays in this browser. Nobody can read ' +
    'it, not even this page: it can only sign what you agree to.',
  makeKey: 'Make my wallet key',
  waitsForRoot:
    'The operator has to sign your wallet. This page goes on by itself when that is done.',
  noVault:
    'This browser keeps no keys here (a private window?). Open the link in your usual browser.',

  account: (funding: string, currency: string) => `Account ${funding}, ${currency}`,
  pairDevice: 'Pair glasses',
  pairHow:
    'Scan the square code on your glasses with this phone’s camera, or type the short ' +
    'code below it.',
  shortCode: 'Short code',
  shortHelp: 'Ten letters and digits, as 7K2MQ-X9D4F',
  find: 'Find',
  yourDevices: 'Your devices',
  noDevices: 'No device yet.',
  online: 'connected',
  offline: 'not connected',
  newLimits: 'New limits',
  lost: 'Lost',
  blocked: 'blocked',
  suspended: 'suspended',
  blockAsk: (name: string) =>
    `Block ${name}? It can never pay again, also when it is found. A found device is paired anew.`,
  blockPhoneAsk: (name: string) =>
    `Block ${name}? It can never grant again. Every login of this account ends, also this one: ` +
    'ask for a new link.',
  block: 'Block for good',
  limits: 'Limits',
  noLimits: 'Nothing may be paid yet.',
  limitsOf: (device: string) => `Limits of ${device}`,
  perPaymentMax: (money: string) => `At most ${money} per payment`,
  left: (money: string) => `${money} left`,
  leftOf: (money: string, count: number) => `${money} left, ${count} payments`,
  until: (time: string) => `until ${time}`,
  status: {
    active: 'active',
    suspended: 'suspended',
    revoked: 'revoked',
    expired: 'expired',
    finished: 'used up',
  },
  revoke: 'Revoke',
  revokeAsk: 'End these limits now? Nothing more can be paid under them.',
  revokeAll: 'Revoke everything',
  revokeAllAsk: 'End all limits of all your devices now? You can grant new ones afterwards.',
  revoked: (running: number) =>
    running === 0
      ? 'Revoked. Nothing more is paid under it.'
      : `Revoked. ${running} payment(s) were already under way and may still end.`,
  phones: 'Phones with your wallet',
  thisPhone: 'this phone',
  phone: (kid: string) => `phone ${kid}`,
  emergency: 'If this phone is lost',
  emergencyWhy:
    'Save this file somewhere else, or give it to somebody you trust. It holds one ' +
    'order, signed by you now: revoke everything. It can do nothing else.',
  emergencyUse:
    'Whoever has it hands it to the operator, who runs: saytap mandate revoke --use FILE',
  emergencySave: 'Save the emergency file',
  emergencyAgain: 'Save it again',
  emergencySaved: 'Saved for everything granted until now.',
  emergencyOld: 'You have revoked everything since it was saved: save a new one.',

  isItYours: 'Is this your device?',
  compare: 'This code has to be on its screen. If it shows another one, refuse.',
  byScan: 'The code was scanned from the device.',
  asksAs: (role: string, name: string) => `It asks to be ${role} “${name}”.`,
  roles: {
    device: 'glasses',
    terminal: 'a till',
    agent: 'an agent',
    wallet: 'a wallet',
    bridge: 'a bridge',
  },
  onlyDevices: 'Only glasses can be paired here. A till is paired by the operator.',
  deviceName: 'Name',
  deviceNameHelp: 'Letters, digits, _ and -',
  whatMayIt: 'What may it pay?',
  perPayment: 'At most per payment',
  perDay: 'At most per day',
  timesPerDay: 'Payments per day',
  total: 'At most in all',
  byVoice: 'By voice alone up to',
  byVoiceHelp: 'Above it a tap or press on the device is needed. Leave empty: always.',
  days: 'Days',
  payees: 'Where',
  anywhere: 'None chosen: every enrolled shop.',
  youSign: 'You sign exactly this text',
  signAndPair: 'Sign and pair',
  sign: 'Sign',
  refuse: 'Refuse',
  refusedDevice: 'Refused. The device was told.',
  paired: (name: string) => `${name} is paired.`,
  approvedWaits: 'Approved. The operator’s root key still has to sign; the device waits for it.',
  granted: 'Signed. The limits hold from now on.',
  faults: {
    amount: 'an amount, as 20 or 20.00',
    number: 'a whole number',
    order: 'does not fit the amounts beside it',
    whole: 'too much for one mandate',
  },

  waiting: 'Waiting to be paired',
  noneWaiting: 'No device is waiting.',
  lookAt: 'Look at it',
  seconds: (count: number) => `${count} s ago`,
  role: 'Role',
  payee: 'Payee',
  payeeHelp: 'Who is paid there',
  terminal: 'Terminal',
  terminalHelp: 'Which till it is',
  nameEn: 'Name shown to people (English)',
  nameZh: 'Name shown to people (Chinese)',
  category: 'Category',
  categoryHelp: 'Four digits (ISO 18245), as 5814; may be empty',
  payer: 'Payer',
  payerHelp: 'Whose glasses: 32 hexadecimal digits; empty for nobody yet',
  approve: 'Approve',
  operatorWarn:
    'What the device proposes is only a proposal. Whoever is named as payee here ' +
    'receives money: check it with the person at the device.',
  devices: 'Devices',
  loggedInAs: (by: string) => `Logged in for ${by}`,
};

const ZH: Words = {
  other: 'English',
  otherLanguage: 'en' as Language,
  wallet: '钱包',
  pairing: '配对',
  working: '请稍候……',
  refused: '未能完成：',
  refusals: {
    bad_signature: '尚未登录，或者此链接已经用过。请索取新的链接。',
    role_forbidden: '此登录无权这样做。',
    rate_limited: '操作过于频繁，或手机、设备过多。请停用不再使用的，或一分钟后再试。',
    unavailable: '没有应答。请检查网络后再试。',
    funding_unknown: '付款机构没有这个账户。请联系发送链接的人。',
    suspended: '该名称或密钥已被占用或暂停，请换一个名称。',
    revoked: '它已被停用或撤销，不再有效。',
    expired: '时间过长，请重新开始，并检查手机时间是否准确。',
    original_unknown: '没有使用此码等待配对的设备，可能已超时：请在设备上重新开始。',
  },
  back: '返回',
  cancel: '取消',
  logout: '退出登录',
  loginNeeded: '请打开您的链接',
  wearerLogin: '请打开付款机构给您的一次性链接来使用钱包。链接只能用一次，十分钟内有效。',
  operatorLogin: '配对由运营方或设备佩戴者进行。运营方在网桥机器上用此命令取得一次性链接：',
  wearerHere: '如果设备是您的：请先打开您的钱包，再扫一次码。',
  toWallet: '打开我的钱包',
  otherAccount: '另一个登录',
  otherAccountAsk: (funding: string) =>
    `此浏览器已登录 ${funding}。打开的链接是新的登录，只有您自己索取的才继续。`,
  logInAnyway: '使用新链接',
  stay: '保持原来的登录',

  setUp: '设置此手机',
  setUpWhy:
    '您的钱包是在这里生成的一把密钥，只留在此浏览器中。谁也读不到它，本页面也不能：它只能签署您同意的内容。',
  makeKey: '生成我的钱包密钥',
  waitsForRoot: '需要运营方签署您的钱包。完成后本页面会自动继续。',
  noVault: '此浏览器在这里不保存密钥（无痕窗口？）。请用您常用的浏览器打开链接。',

  account: (funding: string, currency: string) => `账户 ${funding}，${currency}`,
  pairDevice: '配对眼镜',
  pairHow: '用手机相机扫描眼镜上的方形码，或输入其下方的短码。',
  shortCode: '短码',
  shortHelp: '十个字母和数字，例如 7K2MQ-X9D4F',
  find: '查找',
  yourDevices: '您的设备',
  noDevices: '还没有设备。',
  online: '已连接',
  offline: '未连接',
  newLimits: '新的额度',
  lost: '遗失',
  blocked: '已停用',
  suspended: '已暂停',
  blockAsk: (name: string) => `停用 ${name}？即使找回也不能再付款；找回的设备需重新配对。`,
  blockPhoneAsk: (name: string) =>
    `停用 ${name}？它不能再授权。此账户的所有登录都将结束，包括本页：请索取新的链接。`,
  block: '永久停用',
  limits: '额度',
  noLimits: '目前不能付款。',
  limitsOf: (device: string) => `${device} 的额度`,
  perPaymentMax: (money: string) => `单笔最多 ${money}`,
  left: (money: string) => `还剩 ${money}`,
  leftOf: (money: string, count: number) => `还剩 ${money}，${count} 笔`,
  until: (time: string) => `至 ${time}`,
  status: {
    active: '有效',
    suspended: '已暂停',
    revoked: '已撤销',
    expired: '已到期',
    finished: '已用完',
  },
  revoke: '撤销',
  revokeAsk: '现在终止此额度？此后不能再据此付款。',
  revokeAll: '全部撤销',
  revokeAllAsk: '现在终止您所有设备的全部额度？之后可以重新授予。',
  revoked: (running: number) =>
    running === 0
      ? '已撤销，此后不再据此付款。'
      : `已撤销。有 ${running} 笔付款已在进行中，仍可能完成。`,
  phones: '有您钱包的手机',
  thisPhone: '此手机',
  phone: (kid: string) => `手机 ${kid}`,
  emergency: '如果此手机遗失',
  emergencyWhy:
    '把此文件保存到别处，或交给您信任的人。其中只有您现在签署的一道指令：全部撤销。它不能做别的事。',
  emergencyUse: '持有者把它交给运营方，运营方执行：saytap mandate revoke --use FILE',
  emergencySave: '保存应急文件',
  emergencyAgain: '再次保存',
  emergencySaved: '已保存，涵盖至今授予的全部额度。',
  emergencyOld: '保存之后您已全部撤销过一次：请保存新的文件。',

  isItYours: '这是您的设备吗？',
  compare: '设备屏幕上必须显示此码。如果不同，请拒绝。',
  byScan: '此码是从设备上扫描的。',
  asksAs: (role: string, name: string) => `它请求成为${role}“${name}”。`,
  roles: {
    device: '眼镜',
    terminal: '收款终端',
    agent: '代理',
    wallet: '钱包',
    bridge: '网桥',
  },
  onlyDevices: '这里只能配对眼镜。收款终端由运营方配对。',
  deviceName: '名称',
  deviceNameHelp: '字母、数字、_ 和 -',
  whatMayIt: '允许它付多少？',
  perPayment: '单笔最多',
  perDay: '每日最多',
  timesPerDay: '每日笔数',
  total: '总计最多',
  byVoice: '仅凭语音最多',
  byVoiceHelp: '超过时需在设备上触碰或按键。留空：一律需要。',
  days: '天数',
  payees: '哪里',
  anywhere: '不选：所有已登记的商户。',
  youSign: '您签署的就是以下文字',
  signAndPair: '签署并配对',
  sign: '签署',
  refuse: '拒绝',
  refusedDevice: '已拒绝，并已通知设备。',
  paired: (name: string) => `${name} 已配对。`,
  approvedWaits: '已批准。还需运营方的根密钥签署，设备正在等待。',
  granted: '已签署，额度即刻生效。',
  faults: {
    amount: '请填金额，例如 20 或 20.00',
    number: '请填整数',
    order: '与旁边的金额不相符',
    whole: '一份授权容纳不下',
  },

  waiting: '等待配对',
  noneWaiting: '没有设备在等待。',
  lookAt: '查看',
  seconds: (count: number) => `${count} 秒前`,
  role: '角色',
  payee: '收款方',
  payeeHelp: '谁在那里收款',
  terminal: '终端',
  terminalHelp: '哪一个收银台',
  nameEn: '向人显示的名称（英文）',
  nameZh: '向人显示的名称（中文）',
  category: '类别',
  categoryHelp: '四位数字（ISO 18245），例如 5814；可留空',
  payer: '付款人',
  payerHelp: '谁的眼镜：32 位十六进制数；暂无则留空',
  approve: '批准',
  operatorWarn: '设备提出的只是请求。这里填写的收款方将收到钱：请与设备旁的人核对。',
  devices: '设备',
  loggedInAs: (by: string) => `登录人：${by}`,
};
