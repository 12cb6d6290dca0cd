/**
 * The story that `npm start` tells: a pair of glasses and a kiosk pay for coffee, line by line.
 *
 * Every step does what a person would do and then looks at the ledger from outside; a step that
 * did not come out as told makes the whole run fail, so the story is a test that people can read.
 */
import { bytesEqual } from '../src/bytes.ts';
import { CONFIRM_MS, CONFIRM_READ_MS } from '../src/limits.ts';
import { type Money, formatMoney } from '../src/money.ts';
import { reasonName } from '../src/errors.ts';
import { within } from '../src/patience.ts';
import type { Timers } from '../src/platform.ts';
import type { RunningGlasses, RunningKiosk } from '../device/compose.ts';
import { ORDER_DIGITS } from '../device/intents/clerk.ts';
import type { Told } from '../device/telling.ts';
import { makeCode } from '../device/surface/code.ts';
import { codePng } from '../device/surface/picture.ts';
import { STORY } from './install.ts';
import { uriTag } from './tag.ts';
import type { LedgerBalance, Teller } from './teller.ts';

export type Stage = Readonly<{
  glasses: RunningGlasses;
  kiosk: RunningKiosk;
  teller: Teller;
  timers: Timers;
  /** Lets a device show its next question, and a person read it. */
  asked: () => Promise<void>;
  language: 'en' | 'zh';
  /** What a person (not a device) does or sees. */
  narrate: (line: string) => void;
  /** A headline. */
  scene: (line: string) => void;
  kioskSays: (line: string) => void;
}>;

/** Plays all scenes; returns what went wrong, empty when nothing did. */
export async function playStory(stage: Stage): Promise<readonly string[]> {
  const faults: string[] = [];
  const { glasses, kiosk, teller, narrate, scene } = stage;
  const expect = (isRight: boolean, what: string) => {
    if (!isRight) {
      faults.push(what);
      narrate(`✗ ${what}`);
    }
  };
  const money = (minor: bigint): Money => ({ currency: STORY.currency, minor });
  const say = (text: string) => {
    narrate(`wearer: “${text}”`);
    return glasses.device.sense({ kind: 'utterance', text });
  };
  const press = () => {
    narrate('wearer taps the temple');
    return glasses.device.sense({ kind: 'press' });
  };

  const before = await teller.balances();
  showBalances('balances before', before, stage);
  let spent = 0n;
  const count = { asked: 0, paid: 0, refunded: 0 };
  const paid = async (told: Promise<Told>, minor: bigint, what: string): Promise<string> => {
    count.asked++;
    let end = await told;
    if (end.kind === 'unconfirmed') end = await end.later;
    expect(end.kind === 'paid', `${what}: expected paid, was ${describe(end)}`);
    if (end.kind === 'paid') {
      spent += minor;
      count.paid++;
    }
    const moved = wentTo(before, await teller.balances());
    expect(moved === spent, `${what}: the ledger moved ${moved}, the receipts say ${spent}`);
    return end.kind === 'paid' ? end.id : '';
  };

  scene('1. Say it: a voice, a question, a confirmation');
  const first = say('pay 12.50 yuan to Luckin Coffee');
  await stage.asked();
  await say('confirm payment');
  const firstId = await paid(first, 12_50n, 'voice payment');

  scene('2. Say it in Chinese');
  const second = say('付八块五给瑞幸咖啡');
  await stage.asked();
  await say('确认支付');
  await paid(second, 8_50n, 'voice payment in Chinese');

  scene('3. Look at it: the kiosk shows a signed order, the glasses read it from the picture');
  const order = await kiosk.terminal.order(
    [
      { text: 'Latte', quantity: 1, total: 20_00n },
      { text: 'Blueberry muffin', quantity: 1, total: 18_00n },
    ],
    STORY.currency,
  );
  await order.registered;
  const png = codePng(makeCode(order.uri), 6);
  stage.kioskSays(
    `order ${order.id.slice(0, ORDER_DIGITS)} over ${formatMoney(money(38_00n), 'en')} on screen`,
  );
  narrate(`wearer looks at the kiosk (a PNG of ${png.length} bytes)`);
  const third = glasses.device.sense({ kind: 'picture', png });
  await stage.asked();
  await press();
  await paid(third, 38_00n, 'paying the order');
  const word = await within(stage.timers, 5_000, order.settled);
  const isSold = word?.outcome === 'captured';
  expect(isSold, 'the kiosk was not told that its order is paid');
  if (isSold) narrate('the barista hands over a latte and a muffin');

  scene('4. Tap it: a merchant’s tag asks for 6 yuan');
  const tag = uriTag(`saytap://payee/${STORY.payee}?amount=CNY6.00`);
  narrate(`wearer taps the tag (an NDEF message of ${tag.length} bytes)`);
  const fourth = glasses.device.sense({ kind: 'tag', message: tag });
  await stage.asked();
  await press();
  await paid(fourth, 6_00n, 'tapping the tag');

  scene('5. Give it back: the muffin was stale, the kiosk refunds it');
  const muffin = 18_00n;
  narrate(`clerk: refund ${order.id.slice(0, ORDER_DIGITS)} ${formatMoney(money(muffin), 'en')}`);
  const giving = kiosk.terminal.act({ action: 'refund', order: order.id, amount: money(muffin) });
  await stage.asked();
  narrate('clerk presses the button');
  kiosk.terminal.answer({ kind: 'press' });
  let given = await giving;
  if (given.kind === 'unconfirmed') given = await given.later;
  const outcome = 'receipt' in given ? given.receipt.outcome : given.kind;
  expect(outcome === 'refunded', `the refund: expected refunded, was ${outcome}`);
  if (outcome === 'refunded') {
    spent -= muffin;
    count.refunded++;
  }
  const kept = wentTo(before, await teller.balances());
  expect(kept === spent, `the refund: the payee keeps ${kept}, the receipts say ${spent}`);

  scene('6. No: more than the wallet allows, and an order that is paid already');
  const fifth = await say('pay 300 yuan to Luckin Coffee');
  count.asked++;
  const isOver = fifth.kind === 'not_sent' && fifth.reason === 'limit_per_payment';
  expect(isOver, `300 yuan: expected limit_per_payment, was ${describe(fifth)}`);
  narrate('wearer looks at the code of the kiosk’s first order again');
  const sixth = glasses.device.sense({ kind: 'picture', png });
  count.asked++;
  await stage.asked();
  await press();
  const refusal = await sixth;
  const reason = refusal.kind === 'refused' ? reasonName(refusal.receipt.reason ?? 0) : undefined;
  expect(reason === 'order_paid', `paid twice: expected order_paid, was ${describe(refusal)}`);
  if (reason !== undefined) narrate(`bridge: signed refusal, reason ${reason}`);

  scene('7. Replay: somebody sends the bytes of payment 1 again');
  const entry = glasses.outbox.get(firstId);
  const again = new Promise<Uint8Array>((done) => {
    glasses.onReceipt((id, _receipt, envelope) => {
      if (id === firstId) done(envelope);
    });
  });
  if (entry) glasses.link.send(entry);
  const answer = await within(stage.timers, 5_000, again);
  const isIdentical = !!answer && !!entry?.receipt && bytesEqual(answer, entry.receipt);
  expect(isIdentical, 'the replay did not get the identical receipt');
  narrate(
    isIdentical
      ? `bridge: the identical receipt, all ${answer.length} bytes; nothing moved`
      : 'bridge: another answer',
  );

  const after = await teller.balances();
  showBalances('balances after', after, stage);
  expect(wentTo(before, after) === spent, 'the ledger moved something that no receipt tells of');
  const isBalanced = await teller.isBalanced();
  expect(isBalanced, 'the ledger does not balance');
  const moved = formatMoney(money(wentTo(before, after)), stage.language);
  narrate(
    `payments: ${count.asked} asked for, ${count.paid} paid, ${count.refunded} refunded in part; ` +
      `${moved} moved, ledger ${isBalanced ? 'balanced' : 'NOT balanced'}`,
  );
  return faults;
}

/**
 * Lets a story wait for the next question that a surface tells of, and then as long as a person
 * needs to read it. One that never comes is waited for no longer than for an answer.
 */
export function watchQuestions(timers: Timers): Readonly<{
  tell: () => void;
  asked: () => Promise<void>;
}> {
  let shown = 0;
  let read = 0;
  let wake = () => {};
  return {
    tell() {
      shown++;
      wake();
    },
    async asked() {
      const next = new Promise<void>((done) => {
        wake = done;
        if (shown > read) done();
      });
      await within(timers, CONFIRM_MS, next);
      read = shown;
      await new Promise<void>((done) => void timers.after(CONFIRM_READ_MS + 100, done));
    },
  };
}

/** Minor units that payees have more than before. */
function wentTo(before: readonly LedgerBalance[], after: readonly LedgerBalance[]): bigint {
  const sum = (list: readonly LedgerBalance[]) =>
    list
      .filter(({ kind }) => kind === 'payee')
      .reduce((total, { money }) => total + money.minor, 0n);
  return sum(after) - sum(before);
}

function showBalances(title: string, balances: readonly LedgerBalance[], stage: Stage): void {
  const shown = balances
    .filter(({ kind }) => kind === 'funding' || kind === 'payee')
    .map(({ account, money }) => `${account} ${formatMoney(money, stage.language)}`);
  stage.narrate(`${title}: ${shown.join(' · ') || 'no accounts'}`);
}

function describe(told: Told): string {
  if (told.kind === 'refused') return `refused (${reasonName(told.receipt.reason ?? 0) ?? '?'})`;
  if (told.kind === 'not_sent') return `not sent (${told.reason})`;
  return told.kind;
}
