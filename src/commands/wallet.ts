/**
 * `saytap wallet`: the payer's key, and the plain mandate that most people want.
 *
 * `grant` is `saytap mandate create` with one day, a few options and counts filled in; `show` is
 * the same command as there.
 */
import { REALM_OPTIONS, defineCommand } from '../command.ts';
import { readVerifyKey } from '../keyfile.ts';
import { grantOf } from '../terms.ts';
import { makeKey } from './keygen.ts';
import { show, signShown } from './mandate.ts';

const create = defineCommand({
  summary: "the payer's key",
  about: 'A private key (mode 0600) and FILE.pub; whoever holds it can authorise payments.',
  options: { out: { value: 'FILE', says: 'never overwritten', needed: true } },
  examples: ['wallet new --out wallet.key.pem'],
  run: ({ options }, context) => makeKey(context, options.out, 'ES256'),
});

const grant = defineCommand({
  summary: 'a mandate: what a device may pay on its own',
  about:
    'Shows what is authorised and asks before it signs. saytap mandate create has every limit ' +
    'that a mandate can set.',
  options: {
    wallet: { value: 'FILE', says: "the payer's private key", needed: true },
    to: { value: 'FILE', says: 'public key or Key statement that may ask', needed: true },
    ...REALM_OPTIONS,
    funding: { value: 'REF', says: 'the account at the backend', needed: true },
    currency: { value: 'CODE', says: 'ISO 4217, as CNY', needed: true },
    'per-payment': { value: 'AMOUNT', says: 'most for one payment', needed: true },
    'per-day': { value: 'AMOUNT', says: 'most for a calendar day', needed: true },
    total: { value: 'AMOUNT', says: 'most in all', needed: true },
    out: { value: 'FILE', says: 'where the mandate goes; never overwritten', needed: true },
    payee: { value: 'ID', many: true, says: 'without it: any enrolled payee' },
    zone: { value: 'ZONE', says: 'time zone of the day, as Asia/Shanghai (without it: UTC)' },
    days: { value: 'N', whole: [1, 999], says: 'how long it holds (without it: 1)' },
    count: { value: 'N', whole: [1, 999], says: 'payments a day (without it: 20)' },
    epoch: { value: 'N', whole: [1, 999_999], says: 'revocation epoch (without it: 1)' },
    language: { value: 'CODE', choices: ['en', 'zh'], says: 'of the text' },
    yes: { says: 'sign without asking' },
  },
  examples: [
    'wallet grant --wallet wallet.key.pem --to glasses.key --env sim --ledger demo \\\n' +
      '    --funding acct-1 --currency CNY --per-payment 200 --per-day 500 --total 2000 \\\n' +
      '    --out glasses.mandate',
  ],
  async run({ options }, context) {
    const { days = 1, count = 20 } = options;
    const terms = {
      funding: options.funding,
      currency: options.currency,
      perPayment: options['per-payment'],
      total: `${options.total}/${count * days}`,
      perDay: `${options['per-day']}/${count}`,
      zone: options.zone,
      payee: options.payee,
      band: [`${options.total}=P2`],
      days,
      epoch: options.epoch,
    };
    const granted = grantOf(terms, {
      cnf: readVerifyKey(context.files, options.to).name,
      nowS: Math.floor(context.clock.nowMs() / 1000),
    });
    const { id } = await signShown(granted, undefined, options, context);
    context.write(`mandate ${id} in ${options.out}`);
  },
});

const SHOWN = Object.freeze([
  'wallet show glasses.mandate',
  'wallet show glasses.mandate --language zh',
]);

export const command = Object.freeze({
  summary: "the payer's key, and the mandates that it signs",
  examples: ['wallet new --out wallet.key.pem', 'wallet show glasses.mandate'],
  commands: { new: create, grant, show: Object.freeze({ ...show, examples: SHOWN }) },
});
