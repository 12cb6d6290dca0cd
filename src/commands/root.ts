/** `saytap root`: the operator's offline root, and what it signs. */
import { dirname, join } from 'node:path';
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
import { type Realm, type Signer, identify } from '../cose.ts';
import { OperatorError, PaymentError } from '../errors.ts';
import { requireBytes, requireFolder, requireList, requirePlace, requireText } from '../files.ts';
import { createKeyFiles, readSecretText, readVerifyKey, unlockKeyFile } from '../keyfile.ts';
import type { VerifyKey } from '../keys.ts';
import { CLOCK_SKEW_S, PASSPHRASE_CHARS_MIN } from '../limits.ts';
import {
  type KeyStatement,
  type Presence,
  ROLES,
  type Role,
  keyStatement,
} from '../objects/key.ts';
import { open } from '../objects/kind.ts';
import {
  isAbout,
  parseTime,
  readPolicy,
  renewedBy,
  signPolicy,
  signStatement,
  statementOf,
  statementsAmong,
  validityOf,
} from '../root.ts';
import { sentenceOf, utc } from '../sentences.ts';
import { nodeSigner } from '../signer.ts';

const PASSPHRASE = {
  value: 'FILE',
  says: 'file (mode 0600) with the passphrase; without it you are asked',
} as const;
const SIGNING_OPTIONS = {
  root: { value: 'FILE', says: "the root's private key", needed: true },
  'passphrase-file': PASSPHRASE,
  ...REALM_OPTIONS,
} as const;
const YES = { says: 'sign without asking' } as const;

const init = defineCommand({
  summary: "makes the root's key",
  about:
    'Makes root.key.pem (mode 0600) and root.pub.pem in a folder. Do this on a machine that is ' +
    'not on the network, and keep root.key.pem there and in one more safe place: whoever has it ' +
    'can name any key a bridge. Nothing is overwritten.',
  options: {
    out: { value: 'DIR', says: 'folder; made when it is absent', needed: true },
    'passphrase-file': PASSPHRASE,
    'no-passphrase': { says: 'leave the key unencrypted: for trials' },
  },
  examples: ['root init --out root', 'root init --out root --no-passphrase'],
  async run({ options }, context) {
    const { files, write } = context;
    if (options['no-passphrase'] && options['passphrase-file'] !== undefined) {
      throw new UsageError('--no-passphrase and --passphrase-file exclude each other');
    }
    const at = (name: string) => join(options.out, name);
    for (const name of ['root.key.pem', 'root.pub.pem']) {
      if (files.read(at(name))) {
        throw new OperatorError('key', `${at(name)} exists already: a root is made once`);
      }
    }
    const passphrase = options['no-passphrase']
      ? undefined
      : await newPassphrase(options['passphrase-file'], context);
    requireFolder(files, options.out);
    const key = createKeyFiles(files, at('root.key.pem'), 'ES256', {
      publicPath: at('root.pub.pem'),
      ...(passphrase !== undefined && { passphrase }),
    });
    write(`${at('root.key.pem')}: private; keep it offline, with a copy in another safe place`);
    write(`${at('root.pub.pem')}: public; every bridge and device gets it`);
    write(`thumbprint ${key.name}`);
  },
});

const signKey = defineCommand({
  summary: 'states whose a key is and what it may do',
  about:
    'Shows what will be stated, and asks. What a role must have: terminal --device --payee ' +
    '--terminal --name; device --device; agent --device; wallet --payer or --new-payer; bridge ' +
    'nothing. A second bridge key begins 24 hours from now, when every device has its statement. ' +
    'A statement in --out about the same key is renewed; one about another key is left alone.',
  options: {
    ...SIGNING_OPTIONS,
    key: { value: 'FILE', says: 'the key that it is about: public PEM', needed: true },
    role: {
      value: 'ROLE',
      choices: Object.keys(ROLES) as Role[],
      says: 'what the key is for',
      needed: true,
    },
    out: { value: 'FILE', says: 'the statement; its name ends in .key', needed: true },
    device: { value: 'NAME', says: 'its name in topics' },
    payee: { value: 'ID', says: 'who is paid at this terminal' },
    terminal: { value: 'ID', says: 'which terminal of the payee it is' },
    name: { value: 'LANG=NAME', many: true, says: 'what people are shown as the payee' },
    category: { value: 'CODE', says: 'merchant category, ISO 18245, as 5814' },
    payer: { value: 'HEX', says: 'the person it belongs to, as told by --new-payer' },
    'new-payer': { says: 'it belongs to a person who has no number yet' },
    presence: {
      value: 'N',
      whole: [0, 4],
      says: 'most presence that its requests count as (without it: device 2, wallet 4, others 0)',
    },
    days: { value: 'N', whole: [1, 3_660], says: 'how long it holds (without it: 365)' },
    from: { value: 'DATE', says: 'begin, as 2026-11-20 or 2026-11-20T09:30Z' },
    until: { value: 'DATE', says: 'end, instead of --days' },
    now: { says: 'a second bridge key begins at once: when the old one is stolen' },
    yes: YES,
  },
  examples: [
    'root sign key --root root/root.key.pem --env sim --ledger demo --role bridge \\\n' +
      '    --key bridge/bridge.key.pem.pub --out statements/bridge.key',
    'root sign key --root root/root.key.pem --env sim --ledger demo --role terminal \\\n' +
      '    --key kiosk/device.key.pem.pub --device kiosk-1 --payee luckin-coffee \\\n' +
      '    --terminal till-1 --name en="Luckin Coffee" --name zh=瑞幸咖啡 --category 5814 \\\n' +
      '    --out statements/kiosk.key',
  ],
  async run({ options }, context) {
    const { files, clock, random, write } = context;
    const realm = realmOf(options);
    const nowS = Math.floor(clock.nowMs() / 1000);
    const { public: key, name } = readVerifyKey(files, options.key);
    const payer = payerOf(options, random);
    const names = namesOf(options.name);
    const { device, payee, terminal, role } = options;
    const asked = {
      ...{ key, role },
      ...(device !== undefined && { device }),
      ...(payee !== undefined && { payee }),
      ...(terminal !== undefined && { terminal }),
      ...(names.length > 0 && { names }),
      ...(options.category !== undefined && { category: categoryOf(options.category) }),
      ...(payer && { payer }),
      ...(options.presence !== undefined && { presence: options.presence as Presence }),
    };
    const span = spanOf(options);
    if (options.now && role !== 'bridge') throw new UsageError('--now goes with --role bridge');
    if (!options.out.endsWith('.key')) {
      throw new UsageError('--out must end in .key, or no program reads it');
    }
    const before = files.read(options.out);
    if (before && !isAbout(before, key)) {
      throw new OperatorError('key', `${options.out} is about another key: choose another name`);
    }
    // What is wrong with the fields is told before anybody types a passphrase.
    statementOf({ ...asked, nbf: 0, exp: 1 });

    requireFolder(files, dirname(options.out));

    const root = await unlockRoot(options, context);
    if (root.key.name === name) {
      throw new OperatorError('key', 'this is the root itself: it speaks for others, never so');
    }
    const neighbours = statementFiles(context, dirname(options.out)).map(({ bytes }) => bytes);
    const others = statementsAmong(neighbours, realm, root.key);
    const validity = validityOf(asked, span, nowS, others, options.now);
    const renewed = renewedBy(asked, nowS, others);
    const statement = statementOf({ ...asked, ...validity });
    write(sentenceOf('key', statement, toHex(root.key.kid)));
    write(`The whole thumbprint of the key: ${name}.`);
    if (names.length > 1) {
      write(`Shown as ${names.map(([language, text]) => `"${text}" (${language})`).join(', ')}.`);
    }
    write(`For ${realm.environment} ledger ${realm.ledger} and no other.`);
    if (role === 'bridge' && validity.nbf > nowS) {
      write(`Give it to every device before ${utc(validity.nbf)}: the bridge signs with it then.`);
    }
    if (renewed && validity.exp < renewed.exp) {
      write(
        `NOTE: the statement that is there holds until ${utc(renewed.exp)}; this one ends earlier.`,
      );
    }
    if (options.now && validity.nbf > nowS) {
      write(`NOTE: with --from it does not begin at once, in spite of --now.`);
    }
    if (!options.yes) await requireYes(context);
    const envelope = await signStatement(statement, realm, root);
    files.replace(options.out, envelope, 0o644);
    if (payer) write(`payer ${toHex(payer)}`);
    write(`statement ${identify(envelope, realm, keyStatement.name).id} in ${options.out}`);
  },
});

const signPolicyFile = defineCommand({
  summary: 'how much presence an amount needs, and what is taken offline',
  about:
    'Reads a policy in YAML (docs/keys.md has an example), shows it in words, and asks. The ' +
    'version must be higher than that of the policy that lies in --out.',
  options: {
    ...SIGNING_OPTIONS,
    from: { value: 'FILE', says: 'the policy, YAML', needed: true },
    out: { value: 'FILE', says: 'the signed policy', needed: true },
    yes: YES,
  },
  examples: [
    'root sign policy --root root/root.key.pem --env sim --ledger demo \\\n' +
      '    --from policy.yaml --out platform.policy',
  ],
  async run({ options }, context) {
    const { files, clock, write } = context;
    const realm = realmOf(options);
    const text = requireText(files, options.from);
    requirePlace(files, options.out);
    const policy = readPolicy(text, options.from, Math.floor(clock.nowMs() / 1000));
    const root = await unlockRoot(options, context);
    const envelope = await signPolicy(policy, realm, root, files.read(options.out));
    write(sentenceOf('policy', policy, toHex(root.key.kid)));
    write(`For ${realm.environment} ledger ${realm.ledger} and no other.`);
    if (!options.yes) await requireYes(context);
    files.replace(options.out, envelope, 0o644);
    write(`policy version ${policy.version} in ${options.out}`);
  },
});

const show = defineCommand({
  summary: "the root's thumbprint, and whom it has named",
  inputs: [{ value: 'FILE', says: "the root's public key", needs: "the root's public key" }],
  options: {
    statements: { value: 'DIR', says: 'tell every statement of this folder; needs the next two' },
    env: { value: 'ENV', choices: ['sim', 'live'], says: 'environment of the statements' },
    ledger: { value: 'NAME', says: 'ledger of the statements' },
  },
  examples: ['root show root.pub.pem --statements statements --env sim --ledger demo'],
  run({ options, inputs }, context) {
    const { statements, env, ledger } = options;
    const root = readVerifyKey(context.files, inputs[0]!);
    context.write(`thumbprint ${root.name} (${root.algorithm})`);
    if (statements === undefined) return;
    if (env === undefined || ledger === undefined) {
      throw new UsageError('--statements needs --env and --ledger');
    }
    const nowS = Math.floor(context.clock.nowMs() / 1000);
    for (const { name, bytes } of statementFiles(context, statements)) {
      context.write(`${name}: ${told(bytes, realmOf({ env, ledger }), root, nowS)}`);
    }
  },
});

export const command = Object.freeze({
  summary: "the operator's offline root, and what it signs",
  about: 'Every other key counts only by its word; docs/keys.md tells who holds which key.',
  examples: ['root init --out root', 'root show root/root.pub.pem'],
  commands: {
    init,
    sign: {
      summary: 'a statement about a key, or a policy',
      examples: ['root sign key --help', 'root sign policy --help'],
      commands: { key: signKey, policy: signPolicyFile },
    },
    show,
  },
});

async function newPassphrase(file: string | undefined, context: Context): Promise<string> {
  const asked = async () => {
    const first = await context.askSecret("Passphrase for the root's key: ");
    if (first.length >= PASSPHRASE_CHARS_MIN && (await context.askSecret('Again: ')) !== first) {
      throw new OperatorError('failed', 'these are two different passphrases; nothing was made');
    }
    return first;
  };
  const passphrase = file === undefined ? await asked() : readSecretText(context.files, file);
  if (passphrase.length >= PASSPHRASE_CHARS_MIN) return passphrase;
  throw new OperatorError(
    'key',
    `a passphrase has at least ${PASSPHRASE_CHARS_MIN} characters, several words; nothing was made`,
  );
}

async function unlockRoot(
  options: Values<typeof SIGNING_OPTIONS>,
  { files, askSecret }: Context,
): Promise<Signer> {
  const path = options['passphrase-file'];
  const ask = () =>
    path === undefined ? askSecret(`Passphrase of ${options.root}: `) : readSecretText(files, path);
  return nodeSigner(await unlockKeyFile(files, options.root, ask));
}

function payerOf(
  { payer, 'new-payer': isNew }: Readonly<{ payer: string | undefined; 'new-payer': boolean }>,
  random: Context['random'],
): Uint8Array | undefined {
  if (payer === undefined) return isNew ? random(16) : undefined;
  if (isNew) throw new UsageError('--payer and --new-payer exclude each other');
  if (!/^[0-9a-fA-F]{32}$/.test(payer)) throw new UsageError('--payer is 32 hexadecimal digits');
  return fromHex(payer);
}

/** Names as people give them, as en="Luckin Coffee". Throws UsageError. */
export function namesOf(given: readonly string[]): readonly (readonly [string, string])[] {
  const names = given.map((text) => {
    const [, language, name] = /^([a-z]{2,3}(?:-[A-Z]{2})?)=(.*\S.*)$/.exec(text) ?? [];
    if (language === undefined) throw new UsageError('--name is as en="Luckin Coffee"');
    return [language, name!] as const;
  });
  if (new Set(names.map(([language]) => language)).size < names.length) {
    throw new UsageError('--name gives one language twice');
  }
  return names;
}

/** A merchant category of four digits. Throws UsageError. */
export function categoryOf(text: string): number {
  if (!/^[0-9]{4}$/.test(text)) throw new UsageError('--category is four digits, as 5814');
  return Number(text);
}

function spanOf({
  days,
  from,
  until,
}: Readonly<Record<'from' | 'until', string | undefined> & { days: number | undefined }>) {
  if (days !== undefined && until !== undefined) {
    throw new UsageError('--days and --until exclude each other');
  }
  const time = (name: string, text: string) => {
    const seconds = parseTime(text);
    if (seconds === undefined) {
      throw new UsageError(`--${name} is a date in UTC, as 2026-11-20 or 2026-11-20T09:30Z`);
    }
    return seconds;
  };
  return {
    ...(days !== undefined && { days }),
    ...(from !== undefined && { from: time('from', from) }),
    ...(until !== undefined && { until: time('until', until) }),
  };
}

function statementFiles({ files }: Context, folder: string) {
  return requireList(files, folder)
    .filter((name) => name.endsWith('.key'))
    .map((name) => ({ name, bytes: requireBytes(files, join(folder, name)) }));
}

function told(envelope: Uint8Array, realm: Realm, root: VerifyKey, nowS: number): string {
  try {
    const { value } = open(keyStatement, envelope, realm, () => root);
    return `${standing(value, nowS)}${sentenceOf('key', value, toHex(root.kid))}`;
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return `does not hold: ${error.reason}, ${error.message}`;
  }
}

function standing({ nbf, exp }: KeyStatement, nowS: number): string {
  if (nowS >= exp) return 'ENDED. ';
  if (nowS + CLOCK_SKEW_S < nbf) return 'not yet. ';
  return '';
}
