/**
 * `saytap mandate`: what somebody else's key may pay for a person, from the first yes to the end.
 *
 * Creating and revoking need only the payer's key, so they work on a machine that no bridge is on;
 * with --bridge the result is handed to the bridge at once.
 */
import { fromHex, toHex } from '../bytes.ts';
import {
  type Context,
  REALM_OPTIONS,
  UsageError,
  type Values,
  defineCommand,
  realmOf,
  requireYes,
} from '../command.ts';
import { type Realm, identify, kidOf, payloadOf } from '../cose.ts';
import { OperatorError, PaymentError, reasonName } from '../errors.ts';
import { requireBytes, requireFree, requireText } from '../files.ts';
import { toJson } from '../inspect.ts';
import { readKeyFile, readVerifyKey } from '../keyfile.ts';
import { COUNT_UNLIMITED } from '../limits.ts';
import { parseDecimal } from '../money.ts';
import { type Kind, seal } from '../objects/kind.ts';
import { KINDS } from '../objects/kinds.ts';
import { type Mandate, mandate as mandateKind } from '../objects/mandate.ts';
import { order as orderKind } from '../objects/order.ts';
import { receipt as receiptKind } from '../objects/receipt.ts';
import { CHANNELS, type Channel } from '../objects/request.ts';
import { type Revoke, revoke as revokeKind } from '../objects/revoke.ts';
import { presenceWords, sentenceOf, utc } from '../sentences.ts';
import { nodeSigner } from '../signer.ts';
import { type Terms, grantOf, notesOn, readTerms } from '../terms.ts';
import { type Grant, grantText, signMandate } from '../wallet.ts';
import { refusalText } from './advice.ts';
import {
  type Checked,
  type MandateView,
  PERSON_OPTIONS,
  askBridge,
  columns,
  everyRow,
  moneyText,
  theOne,
} from './operator.ts';
import { MAY_PAY, STATUS_WORDS, leftText, periodText, viewLines } from './standing.ts';

const BRIDGE = { value: 'FILE', says: "the bridge's configuration, YAML" } as const;
const LANGUAGE = { value: 'CODE', choices: ['en', 'zh'], says: 'of the text' } as const;
const EPOCH = { value: 'N', whole: [1, 999_999] } as const;

/** Fields of Terms, as options; `--terms FILE` has the same ones. */
const TERM_OPTIONS = {
  funding: { value: 'REF', says: 'the account at the backend' },
  currency: { value: 'CODE', says: 'ISO 4217, as CNY' },
  'per-payment': { value: 'AMOUNT', says: 'most for one payment, as 200 or 12.50' },
  'per-payment-min': { value: 'AMOUNT', says: 'least for one payment' },
  total: { value: 'AMOUNT/COUNT', says: 'most in all; /COUNT, the number of payments, may lack' },
  'per-day': { value: 'AMOUNT/COUNT', says: 'most for a calendar day' },
  'per-week': { value: 'AMOUNT/COUNT', says: 'most for a week, from Monday' },
  'per-month': { value: 'AMOUNT/COUNT', says: 'most for a calendar month' },
  'per-quarter': { value: 'AMOUNT/COUNT', says: 'most for a calendar quarter' },
  'per-year': { value: 'AMOUNT/COUNT', says: 'most for a calendar year' },
  zone: { value: 'ZONE', says: 'time zone of the calendar, as Asia/Shanghai (without it: UTC)' },
  within: {
    value: 'SECONDS:AMOUNT/COUNT',
    many: true,
    says: 'most within any such time, as 600:300/3 or 10m:300/3',
  },
  gap: { value: 'SECONDS', says: 'time between two payments, as 300 or 5m' },
  payee: { value: 'ID', many: true, says: 'only these (without any: every enrolled payee)' },
  category: { value: 'CODE', many: true, says: 'only these merchant categories, as 5814' },
  terminal: { value: 'ID', many: true, says: 'only these terminals' },
  order: { value: 'HEX', many: true, says: 'only these orders' },
  'deny-payee': { value: 'ID', many: true, says: 'never these' },
  'deny-category': { value: 'CODE', many: true, says: 'never these categories' },
  'deny-terminal': { value: 'ID', many: true, says: 'never these terminals' },
  band: {
    value: 'AMOUNT=P1',
    many: true,
    says: 'confirmation that is enough up to an amount (without any: P2 for every payment)',
  },
  channel: {
    value: 'NAME',
    many: true,
    says: `${Object.keys(CHANNELS).join(', ')} (without any: all but autonomous)`,
  },
  from: { value: 'DATE', says: 'begin, as 2026-11-20 or 2026-11-20T09:30Z (without it: now)' },
  until: { value: 'DATE', says: 'end' },
  days: { value: 'N', whole: [1, 3_660], says: 'how long it holds, instead of --until (1)' },
  epoch: { ...EPOCH, says: 'revocation epoch (without it: 1)' },
} as const;

const SIGNING_OPTIONS = {
  wallet: {
    value: 'FILE',
    says: "the payer's private key; for a child the key that the parent names",
    needed: true,
  },
  to: { value: 'FILE', says: 'public key or Key statement that may ask', needed: true },
  ...REALM_OPTIONS,
} as const;

const create = defineCommand({
  summary: 'signs what a key may pay on its own',
  about:
    'Shows every field in words and asks. Fields come from options, or from a file with --terms ' +
    '(YAML, the same names: perPayment, perDay, denyPayee …). --parent hands a part of a mandate ' +
    'on to another key: what is left out is as in the parent, whose limits count as well. --once ' +
    'pays one order and nothing else. docs/mandates.md tells what each limit means.',
  options: {
    ...SIGNING_OPTIONS,
    terms: { value: 'FILE', says: 'the fields below, in a file' },
    ...TERM_OPTIONS,
    parent: { value: 'FILE', says: 'the mandate that this one is handed on from' },
    once: { value: 'FILE', says: 'the order, signed by its terminal, that it is for' },
    language: LANGUAGE,
    out: { value: 'FILE', says: 'where the mandate goes; never overwritten', needed: true },
    yes: { says: 'sign without asking' },
    bridge: { ...BRIDGE, says: 'hand it to the bridge of this configuration' },
  },
  examples: [
    'mandate create --wallet wallet.key.pem --to glasses.key --env sim --ledger demo \\\n' +
      '    --funding acct-wang --currency CNY --per-payment 200 --per-day 500/20 \\\n' +
      '    --zone Asia/Shanghai --total 2000 --payee luckin-coffee-88 --days 30 \\\n' +
      '    --out glasses.mandate',
    'mandate create --parent glasses.mandate --wallet glasses.key.pem --to second.key \\\n' +
      '    --env sim --ledger demo --per-payment 20 --out second.mandate',
  ],
  async run({ options }, context) {
    const { files, clock, write } = context;
    if (options.parent !== undefined && options.once !== undefined) {
      throw new UsageError('--parent and --once exclude each other');
    }
    requireFree(files, options.out);
    if (options.bridge !== undefined) requireText(files, options.bridge);
    const realm = realmOf(options);
    const parent = options.parent === undefined ? undefined : readMandate(context, options.parent);
    const once = options.once === undefined ? undefined : requireBytes(files, options.once);
    const grant = grantOf(termsOf(options, context), {
      cnf: readVerifyKey(files, options.to).name,
      nowS: Math.floor(clock.nowMs() / 1000),
      ...(parent && {
        parent: {
          id: identify(parent.envelope, realm, mandateKind.name).id,
          mandate: parent.value,
        },
      }),
      ...(once && {
        once: {
          id: identify(once, realm, orderKind.name).id,
          order: decodeAs(orderKind, once, options.once!),
        },
      }),
    });
    if (parent) requireOwn(context, options.wallet, parent.value);
    const { id, envelope } = await signShown(grant, parent?.value, options, context);
    write(`mandate ${id} in ${options.out}`);
    if (options.bridge === undefined) return;
    try {
      await giveMandate(envelope, options.bridge, context);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      throw new PaymentError(
        error.reason,
        `${error.message}. It is signed all the same; when this is mended: ` +
          submitLine(options.out, options.bridge),
        { cause: error },
      );
    }
  },
});

const submit = defineCommand({
  summary: 'hands a mandate that is signed already to a bridge',
  about:
    'For one that was signed on another machine, or while the bridge or its backend was away. ' +
    'Handing in the same one again changes nothing.',
  inputs: [{ value: 'FILE', says: 'the mandate', needs: 'the file of a mandate' }],
  options: { bridge: { ...BRIDGE, needed: true } },
  examples: ['mandate submit glasses.mandate --bridge /tmp/demo/bridge.yaml'],
  async run({ options, inputs }, context) {
    const { envelope } = readMandate(context, inputs[0]!);
    context.write(`mandate ${await idAt(context, options.bridge, envelope)}`);
    await giveMandate(envelope, options.bridge, context);
  },
});

/**
 * Shows a grant with what may be overlooked in it, asks, signs it, writes it to a new file. Throws
 * OperatorError `failed` without a yes, `storage` when the file is there already.
 */
export async function signShown(
  grant: Grant,
  parent: Mandate | undefined,
  options: Values<typeof REALM_OPTIONS> &
    Readonly<{ wallet: string; out: string; language: 'en' | 'zh' | undefined; yes: boolean }>,
  context: Context,
): Promise<Readonly<{ id: string; envelope: Uint8Array }>> {
  const { files, write } = context;
  requireFree(files, options.out);
  const signer = nodeSigner(readKeyFile(files, options.wallet));
  const text = grantText(grant, options.language ?? 'en', (payee) => payee);
  write(text);
  for (const note of notesOn(grant, parent)) write(note);
  if (!options.yes) await requireYes(context);
  const { id, envelope } = await signMandate(grant, text, realmOf(options), signer);
  files.create(options.out, envelope, 0o644);
  return { id, envelope };
}

export const show = defineCommand({
  summary: 'what a mandate says, and with --bridge what is left of it',
  about:
    'Only what it says: saytap verify tells whether it holds. Without the file its id, or the ' +
    'beginning of it, is enough when --bridge is given. The id depends on environment and ' +
    'ledger, so --env and --ledger tell it, or --bridge.',
  inputs: [{ value: 'FILE|ID', says: 'the mandate', needs: 'a file' }],
  options: {
    bridge: BRIDGE,
    env: { value: 'ENV', choices: ['sim', 'live'], says: 'environment, to tell its id' },
    ledger: { value: 'NAME', says: 'ledger, to tell its id' },
    language: LANGUAGE,
  },
  examples: [
    'mandate show glasses.mandate --env sim --ledger demo --language zh',
    'mandate show d1d7b42e --bridge /tmp/demo/bridge.yaml',
  ],
  async run({ options, inputs }, context) {
    const { files, write } = context;
    const [what = ''] = inputs;
    const isId = ID_START.test(what) && options.bridge !== undefined && !files.read(what);
    if (!isId) {
      const { envelope, value } = readMandate(context, what);
      write(grantText(value, options.language ?? 'en', (payee) => payee));
      write(JSON.stringify(toJson(value), undefined, 2));
      if (options.bridge === undefined) {
        const { env, ledger } = options;
        return write(
          env === undefined || ledger === undefined
            ? 'its id: say --env and --ledger, or --bridge'
            : `mandate ${identify(envelope, { environment: env, ledger }, mandateKind.name).id}`,
        );
      }
    }
    const chain = await chainOf(context, options.bridge!, what);
    for (const [at, view] of chain.entries()) {
      if (at > 0) write('');
      for (const line of viewLines(view, at > 0)) write(line);
    }
  },
});

const list = defineCommand({
  summary: 'every mandate that a bridge knows',
  options: {
    bridge: { ...BRIDGE, needed: true },
    payer: { value: 'HEX', says: 'only of this person' },
  },
  examples: ['mandate list --bridge /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const rows = await everyMandate(context, options.bridge, options.payer);
    if (rows.length === 0) return context.write('no mandates');
    const table = rows.map((view) => [
      view.id,
      view.status,
      view.payer.slice(0, 8),
      utc(view.until),
      moneyText(view.perPaymentMax, view.currency),
    ]);
    const heading = ['mandate', 'status', 'payer', 'until', 'per payment'];
    const [head, ...lines] = columns([heading, ...table]);
    context.write(head!);
    for (const [at, view] of rows.entries()) {
      context.write(lines[at]!);
      if (!MAY_PAY.has(view.status)) continue;
      for (const window of view.windows) {
        context.write(`  ${periodText(window)}: ${leftText(window, view.currency)}`);
      }
    }
  },
});

const revoke = defineCommand({
  summary: 'ends a mandate, or all of a person, for good',
  about:
    'Signs the revoke with the wallet or with any key of the same person. Keep one for a lost ' +
    'phone: --all --epoch N --out FILE signs it ahead, --use FILE hands it in. What has reached ' +
    'a backend already runs to its end, and is told.',
  inputs: [{ value: 'FILE|ID', says: 'the mandate', needs: 'a mandate or --all', optional: true }],
  options: {
    wallet: { value: 'FILE', says: "the payer's private key" },
    env: { value: 'ENV', choices: ['sim', 'live'], says: 'environment of the object' },
    ledger: { value: 'NAME', says: 'ledger of the object' },
    payer: { value: 'HEX', says: 'the person: 32 digits, as saytap mandate list tells' },
    all: { says: 'every mandate of the person below --epoch' },
    epoch: { ...EPOCH, says: 'with --all: mandates of this epoch and later go on' },
    out: { value: 'FILE', says: 'where the signed revoke goes; never overwritten' },
    use: { value: 'FILE', says: 'hand in this revoke, signed before; nothing is signed' },
    bridge: { ...BRIDGE, says: 'hand it to the bridge of this configuration' },
    yes: { says: 'sign without asking' },
  },
  examples: [
    'mandate revoke glasses.mandate --wallet wallet.key.pem --env sim --ledger demo \\\n' +
      '    --payer 0123456789abcdef0123456789abcdef --bridge /tmp/demo/bridge.yaml',
    'mandate revoke --all --epoch 2 --wallet wallet.key.pem --env sim --ledger demo \\\n' +
      '    --payer 0123456789abcdef0123456789abcdef --out lost-phone.revoke',
    'mandate revoke --use lost-phone.revoke --bridge /tmp/demo/bridge.yaml',
  ],
  async run({ options, inputs }, context) {
    const { files, write } = context;
    const [what] = inputs;
    if (options.use !== undefined) {
      const others = [what, options.wallet, options.out, options.payer, options.epoch];
      if (options.all || others.some((one) => one !== undefined)) {
        throw new UsageError('--use goes with --bridge alone: the revoke says everything');
      }
      if (options.bridge === undefined) throw new UsageError('--bridge is needed');
      const envelope = requireBytes(files, options.use);
      const said = decodeAs(revokeKind, envelope, options.use);
      write(sentenceOf('revoke', said, toHex(kidOf(envelope))));
      return handIn(envelope, options.bridge, context);
    }
    const { wallet, env, ledger } = options;
    if (wallet === undefined || env === undefined || ledger === undefined) {
      throw new UsageError('--wallet, --env and --ledger are needed');
    }
    if (options.out === undefined && options.bridge === undefined) {
      throw new UsageError('--out or --bridge is needed, or the revoke goes nowhere');
    }
    if (options.out !== undefined) requireFree(files, options.out);
    const realm = { environment: env, ledger };
    const value: Revoke = {
      payer: payerOf(options.payer),
      iat: Math.floor(context.clock.nowMs() / 1000),
      ...targetOf(what, options, realm, context),
    };
    const signer = nodeSigner(readKeyFile(files, wallet));
    write(sentenceOf('revoke', value, toHex(signer.key.kid)));
    if (value.mandate !== undefined) write(`The whole id of the mandate: ${value.mandate}.`);
    if (!options.yes) await requireYes(context);
    const envelope = await seal(revokeKind, value, realm, signer);
    if (options.out !== undefined) {
      files.create(options.out, envelope, 0o600);
      write(`revoke in ${options.out}; whoever has it can use it, once and for all`);
    }
    if (options.bridge !== undefined) await handIn(envelope, options.bridge, context);
  },
});

const check = defineCommand({
  summary: 'would this payment be allowed, and if not, which limit refuses it',
  about:
    'The very verdict that a request would get now, with nothing reserved and nothing recorded. ' +
    'The risk service and the backend are not asked. Exit code 0: allowed, 1: refused.',
  options: {
    bridge: { ...BRIDGE, needed: true },
    mandate: { value: 'FILE|ID', says: 'or the beginning of the id', needed: true },
    payee: { value: 'ID', says: 'who would be paid', needed: true },
    amount: { value: 'AMOUNT', says: 'in the currency of the mandate, as 12.50' },
    action: {
      value: 'NAME',
      choices: ['pay', 'hold', 'access'],
      says: 'without it: pay; access has no amount',
    },
    presence: { value: 'P0…P3', says: 'how present the person is (without it: P2)' },
    channel: {
      value: 'NAME',
      choices: Object.keys(CHANNELS) as Channel[],
      says: 'how is asked (without it: tap)',
    },
    terminal: { value: 'ID', says: 'which terminal of the payee' },
    order: { value: 'HEX', says: 'which order' },
  },
  examples: [
    'mandate check --bridge /tmp/demo/bridge.yaml --mandate d1d7b42e \\\n' +
      '    --payee luckin-coffee-88 --amount 12.50',
  ],
  async run({ options }, context) {
    const { action = 'pay', bridge, payee, terminal, order } = options;
    if ((action === 'access') !== (options.amount === undefined)) {
      throw new UsageError('--amount is needed, and only access goes without');
    }
    if (order !== undefined && !/^[0-9a-f]{32}$/.test(order)) {
      throw new UsageError('--order is the id of an order: 32 hexadecimal digits');
    }
    const presence = presenceOf(options.presence);
    const [leaf] = await chainOf(context, bridge, options.mandate);
    const { id, currency } = leaf;
    const minor = options.amount === undefined ? 0n : amountOf(options.amount, currency);
    const payment = {
      mandate: id,
      action,
      payee,
      currency,
      minor: String(minor),
      ...(terminal !== undefined && { terminal }),
      ...(order !== undefined && { order }),
      presence,
      channel: options.channel ?? 'tap',
    };
    const checked = await askBridge<Checked>(context, bridge, { ask: 'check', payment });
    if (!checked.allowed) {
      throw new OperatorError('failed', refusalText(checked, leaf));
    }
    const what =
      action === 'access' ? 'to be let in by' : `${moneyText(String(minor), currency)} to`;
    const left = leaf.windows.map((window, at) => {
      const { amount, count } = checked.remaining[at]!;
      const payments = `${count} ${count === 1 ? 'payment' : 'payments'}`;
      const counted = window.count === COUNT_UNLIMITED ? '' : ` and ${payments}`;
      return `${periodText(window)} ${moneyText(amount, currency)}${counted}`;
    });
    context.write(
      `Allowed: ${action} ${what} ${payee}, ${checked.channel}, ` +
        `${presenceWords(checked.presence)}. Left afterwards: ${left.join('; ')}.`,
    );
  },
});

const suspend = setStatus('suspended', 'suspend', 'stops a mandate until it is resumed');
const resume = setStatus('active', 'resume', 'lets a suspended mandate go on');

export const command = Object.freeze({
  summary: 'what a key may pay on its own: create, look, check, stop, end',
  examples: ['mandate list --bridge /tmp/demo/bridge.yaml', 'mandate show glasses.mandate'],
  commands: { create, submit, show, list, revoke, check, suspend, resume },
});

const ID_START = /^[0-9a-f]{4,32}$/;

/** The fields of a mandate among the options, or those of the file. */
function termsOf(
  options: Values<typeof TERM_OPTIONS> & Readonly<{ terms: string | undefined }>,
  { files }: Context,
): Terms {
  const typed = Object.keys(TERM_OPTIONS).map((name) => [
    name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()),
    options[name as keyof typeof TERM_OPTIONS],
  ]);
  if (options.terms === undefined) return Object.fromEntries(typed) as Terms;
  const isTyped = (value: unknown) =>
    Array.isArray(value) ? value.length > 0 : value !== undefined;
  if (typed.some(([, value]) => isTyped(value))) {
    throw new UsageError('--terms has all the fields: give none of them as options');
  }
  return readTerms(requireText(files, options.terms), options.terms);
}

/** A child counts only when it is signed by the key that its parent names. */
function requireOwn({ files }: Context, wallet: string, parent: Mandate): void {
  if (nodeSigner(readKeyFile(files, wallet)).key.name === parent.cnf) return;
  throw new OperatorError('key', `${wallet} is not the key that the parent mandate is for`);
}

function readMandate(
  { files }: Context,
  path: string,
): Readonly<{ envelope: Uint8Array; value: Mandate }> {
  const envelope = requireBytes(files, path);
  return { envelope, value: decodeAs(mandateKind, envelope, path) };
}

/** The object in a file, of this kind; throws OperatorError `usage` that names another kind. */
function decodeAs<T>(kind: Kind<T>, envelope: Uint8Array, path: string): T {
  let payload: ReturnType<typeof payloadOf> | undefined;
  try {
    payload = payloadOf(envelope);
    return kind.decode(payload);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    const wanted = `not ${articled(kind.name)}`;
    const other = payload === undefined ? undefined : kindOf(payload);
    const found = other === undefined ? 'is nothing that saytap signs' : `is ${articled(other)}`;
    // One that is of the kind and broken has its own reason.
    if (other === undefined && payload !== undefined) throw error;
    throw new OperatorError('usage', `${path} ${found}, ${wanted}`, { cause: error });
  }
}

/** The one kind that can say this; undefined when none can, or several. */
function kindOf(payload: ReturnType<typeof payloadOf>): string | undefined {
  const fitting = Object.values(KINDS).filter((kind) => {
    try {
      kind.decode(payload);
      return true;
    } catch (error) {
      if (error instanceof PaymentError) return false;
      throw error;
    }
  });
  return fitting.length === 1 ? fitting[0]!.name : undefined;
}

function articled(name: string): string {
  if (name === 'key') return 'a statement about a key';
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}

/** Hands a mandate to the bridge. Throws PaymentError with why it was not taken. */
async function giveMandate(envelope: Uint8Array, config: string, context: Context): Promise<void> {
  await askBridge(context, config, { ask: 'take mandate', envelope: toHex(envelope) });
  context.write('the bridge has taken it');
}

function submitLine(file: string, config: string): string {
  return `saytap mandate submit ${file} --bridge ${config}`;
}

async function idAt(context: Context, config: string, envelope: Uint8Array): Promise<string> {
  const { readBridgeConfig } = await context.program('bridge');
  return identify(envelope, readBridgeConfig(config).config, mandateKind.name).id;
}

/** The mandate and its parents, leaf first. Throws when the bridge does not know it. */
async function chainOf(
  context: Context,
  config: string,
  given: string,
): Promise<readonly [MandateView, ...MandateView[]]> {
  const id = await wholeId(context, config, given);
  const [leaf, ...parents] = await askBridge<readonly MandateView[]>(context, config, {
    ask: 'mandate',
    id,
  });
  if (leaf) return [leaf, ...parents];
  const file = context.files.read(given) ? given : 'FILE';
  throw new PaymentError(
    'mandate_unknown',
    `this bridge has no mandate ${id}; to hand it in: ${submitLine(file, config)}`,
  );
}

async function wholeId(context: Context, config: string, given: string): Promise<string> {
  if (context.files.read(given)) return idAt(context, config, readMandate(context, given).envelope);
  if (/^[0-9a-f]{32}$/.test(given)) return given;
  if (!ID_START.test(given)) {
    throw new UsageError(
      `there is no file ${given}, and the id of a mandate is 32 digits, or the first 4 or more`,
    );
  }
  const all = await everyMandate(context, config);
  return theOne(
    all.map(({ id }) => id),
    given,
    'mandate',
  );
}

function everyMandate(
  context: Context,
  config: string,
  payer?: string,
): Promise<readonly MandateView[]> {
  const question = { ask: 'mandates', ...(payer !== undefined && { payer }) };
  return everyRow<MandateView>(context, config, question, ({ id }) => id);
}

function presenceOf(text: string | undefined): number {
  if (text === undefined) return 2;
  const [, level] = /^P?([0-3])$/.exec(text) ?? [];
  if (level === undefined) throw new UsageError('--presence is P0, P1, P2 or P3');
  return Number(level);
}

function amountOf(text: string, currency: string): bigint {
  try {
    return parseDecimal(text, currency);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    throw new UsageError(`--amount is ${error.message}, as 12.50`);
  }
}

function payerOf(text: string | undefined): Uint8Array {
  if (text !== undefined && /^[0-9a-f]{32}$/.test(text)) return fromHex(text);
  throw new UsageError('--payer is needed: 32 hexadecimal digits');
}

function targetOf(
  what: string | undefined,
  { all, epoch }: Readonly<{ all: boolean; epoch: number | undefined }>,
  realm: Realm,
  context: Context,
): Readonly<{ mandate: string }> | Readonly<{ epoch: number }> {
  if (all !== (what === undefined)) throw new UsageError('name one mandate, or say --all');
  if (all !== (epoch !== undefined)) throw new UsageError('--all and --epoch go together');
  if (epoch !== undefined) return { epoch };
  if (/^[0-9a-f]{32}$/.test(what!) && !context.files.read(what!)) return { mandate: what! };
  const { envelope } = readMandate(context, what!);
  return { mandate: identify(envelope, realm, mandateKind.name).id };
}

/** Hands a revoke to the bridge and tells its answer. Throws PaymentError when it is refused. */
async function handIn(envelope: Uint8Array, config: string, context: Context): Promise<void> {
  const { receipt } = await askBridge<Readonly<{ receipt: string }>>(context, config, {
    ask: 'take revoke',
    envelope: toHex(envelope),
  });
  const { outcome, reason, running = [] } = receiptKind.decode(payloadOf(fromHex(receipt)));
  if (outcome !== 'granted') {
    const name = reasonName(reason ?? 0) ?? 'malformed';
    const why =
      name === 'role_forbidden' ? ': the mandate, or --payer, does not belong to this wallet' : '';
    throw new PaymentError(name, `the bridge did not take the revoke${why}`);
  }
  context.write('the bridge has taken it: nothing new is paid under what it ends');
  if (running.length === 0) return context.write('nothing was still running');
  context.write(`still running, because a backend has them already (saytap payments show ID):`);
  for (const id of running) context.write(`  ${id}`);
}

function setStatus(status: 'active' | 'suspended', verb: string, summary: string) {
  return defineCommand({
    summary,
    about: 'The operator decides this at the bridge; who and why go into the evidence.',
    inputs: [
      { value: 'FILE|ID', says: 'the mandate, or the beginning of its id', needs: 'a mandate' },
    ],
    options: { bridge: { ...BRIDGE, needed: true }, ...PERSON_OPTIONS },
    examples: [
      `mandate ${verb} d1d7b42e --bridge /tmp/demo/bridge.yaml --by mei --why "asked by phone"`,
    ],
    async run({ options, inputs }, context) {
      const { bridge, by, why } = options;
      const [before] = await chainOf(context, bridge, inputs[0]!);
      const { id } = before;
      const { changed } = await askBridge<Readonly<{ changed: boolean }>>(context, bridge, {
        ask: 'set mandate',
        id,
        status,
        by,
        why,
      });
      if (changed) return context.write(`mandate ${id} is ${status}`);
      throw new OperatorError('failed', `mandate ${id} stays ${STATUS_WORDS[before.status]}`);
    },
  });
}
