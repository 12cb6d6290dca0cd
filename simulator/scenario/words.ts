/** What a step does and expects, in words: for whoever watches, and for what went otherwise. */
import { formatDecimal, formatMoney } from '../../src/money.ts';
import type { Cast } from './cast.ts';
import type { Expected } from './expectation.ts';
import { whileText } from './moment.ts';
import type { Template } from './reference.ts';
import type { Step } from './step.ts';
import type { Doing } from './verb.ts';

/** "wang says “pay 12 yuan to Luckin Coffee”, confirms by voice". */
export function stepText(step: Step, cast: Cast): string {
  if (step.actor) {
    const lasts = step.lastsMs === undefined ? '' : ` for ${whileText(step.lastsMs)}`;
    return `${step.actor.name} ${step.does.map((one) => doingText(one)).join(', ')}${lasts}`;
  }
  if (step.expects.length > 0)
    return `now ${step.expects.map((one) => factText(one, cast)).join(', ')}`;
  return step.waitMs > 0 ? `${whileText(step.waitMs)} pass` : 'time passes';
}

/** "lunch is paid", "the account of wang holds 449.00 yuan". */
export function factText(one: Expected, { currency }: Pick<Cast, 'currency'>): string {
  const money = (minor: bigint) => formatMoney({ currency, minor }, 'en');
  switch (one.about) {
    case 'result':
      return `${one.name} is ${one.outcome}${one.reason === undefined ? '' : ` (${one.reason})`}`;
    case 'account':
      return `the account of ${one.of} holds ${money(one.minor)}`;
    case 'balanced':
      return 'the ledger is balanced';
    case 'told':
      return `${one.who} is told “${templateText(one.text)}”`;
    case 'shown':
      return `${one.who} is shown “${templateText(one.text)}”`;
    case 'left':
      return `${money(one.minor)} of ${one.window} are left to ${one.who}`;
    case 'receipts':
      return `${one.who} has ${one.count} receipts`;
    case 'waiting':
      return `${one.count} wait at ${one.who}`;
    case 'payments':
      return `${one.count} payments are ${one.outcome}`;
    case 'online':
      return `${one.who} is ${one.is ? 'online' : 'offline'}`;
  }
}

function doingText(doing: Doing): string {
  switch (doing.does) {
    case 'say':
      return `says “${templateText(doing.text)}”`;
    case 'look':
      return `looks at ${'order' in doing.at ? doing.at.order : doing.at.kiosk}`;
    case 'tap': {
      const { at } = doing;
      if ('order' in at) return `taps ${at.order}`;
      if ('kiosk' in at) return `holds the tag to ${at.kiosk}`;
      const amount = at.amount ? ` over ${formatMoney(at.amount, 'en')}` : '';
      return `taps the sticker of ${at.shop}${amount}`;
    }
    case 'confirm':
      return `confirms${doing.how === undefined ? '' : ` ${doing.how}`}`;
    case 'cancel':
      return 'cancels';
    case 'press':
      return 'presses';
    case 'take off':
      return 'takes the glasses off';
    case 'put on':
      return 'puts the glasses on';
    case 'pin':
      return 'enters a PIN';
    case 'revoke':
      return `revokes ${doing.what}`;
    case 'clone':
      return `clones ${doing.machine}`;
    case 'order': {
      const { currency } = doing;
      const lines = doing.lines.map(({ text, quantity, total }) => {
        const count = quantity === 1 ? '' : `${quantity} × `;
        return `${count}${text} ${formatDecimal({ currency, minor: total })}`;
      });
      return `orders ${lines.join(', ')} ${currency}`;
    }
    case 'bill':
      return `collects ${formatMoney(doing.amount, 'en')}`;
    case 'refund':
    case 'capture':
    case 'release': {
      const amount = doing.amount ? formatMoney(doing.amount, 'en') : 'all';
      return `${doing.does}s ${amount} of ${doing.order}`;
    }
    case 'pay':
      return `pays ${formatMoney(doing.amount, 'en')} to ${doing.shop} by itself`;
    case 'kill':
      return 'is killed';
    case 'start':
    case 'restart':
      return `${doing.does}s`;
    case 'backup':
      return 'is backed up';
    case 'replace':
      return 'is replaced by another machine';
    case 'restore':
      return `is restored from ${doing.backup}`;
    case 'power':
      return doing.calls === undefined ? 'loses power' : `will lose power in ${doing.calls} calls`;
    case 'disk':
      return doing.trouble === 'well' ? 'has a disk that is well' : `has a disk: ${doing.trouble}`;
    case 'clock': {
      const way = doing.jumpMs < 0 ? 'back' : 'forward';
      return `has its clock set ${way} by ${whileText(Math.abs(doing.jumpMs))}`;
    }
    case 'trouble': {
      const share = doing.share === 1 ? '' : ` ${Math.round(doing.share * 100)}%`;
      const where = doing.of.length > 0 ? ` (${doing.of.join(', ')})` : '';
      return `is in trouble: ${doing.trouble}${share}${where}`;
    }
    case 'mend':
      return 'is whole again';
  }
}

function templateText(template: Template): string {
  return template.map((part) => (typeof part === 'string' ? part : `\${${part.name}}`)).join('');
}
