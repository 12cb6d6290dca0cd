/**
 * What an operator does about devices that ask to be enrolled: `saytap device pending`, `approve`
 * and `refuse`. The page of the bridge does the same; a root that lies on another machine signs
 * here, because it is never on the bridge's.
 */
import { dirname, resolve } from 'node:path';
import { type Said, statementFor } from '../approval.ts';
import { fromHex, toHex } from '../bytes.ts';
import { type Context, UsageError, defineCommand } from '../command.ts';
import { payloadOf } from '../cose.ts';
import { readSecretText, readVerifyKey, unlockKeyFile } from '../keyfile.ts';
import { enrol as enrolKind } from '../objects/enrol.ts';
import { type Role, ROLES } from '../objects/key.ts';
import { signStatement } from '../root.ts';
import { sentenceOf } from '../sentences.ts';
import { nodeSigner } from '../signer.ts';
import { CONFIG, ageText, askBridge, columns, requireDecision } from './operator.ts';
import { categoryOf, namesOf } from './root.ts';

/** An enrolment as the bridge tells it (broker/enrolment.ts). */
type EnrolmentView = Readonly<{
  code: string;
  key: string;
  enrol: string;
  role: Role;
  device: string;
  hasPairing: boolean;
  address: string;
  askedMs: number;
  state: 'open' | 'unsigned' | 'refused' | 'enrolled';
  said?: Said | undefined;
}>;

const CODE = {
  value: 'CODE',
  says: "what the device's screen shows, as 7K3QD-9XMPA, or the link of its QR code",
  needs: "the code on the device's screen",
} as const;
const BY = { value: 'NAME', says: 'who decides, for the evidence (without it: $USER)' } as const;

export const pending = defineCommand({
  summary: 'devices that wait to be approved, or for the root to sign',
  options: { config: CONFIG },
  examples: ['device pending --config bridge.yaml'],
  async run({ options }, context) {
    const views = await askBridge<readonly EnrolmentView[]>(context, options.config, {
      ask: 'enrolments',
    });
    if (views.length === 0) return context.write('no device waits');
    const rows = views.map(({ code, device, role, address, askedMs, state }) => [
      code,
      state === 'unsigned' ? 'the root has to sign' : 'waits for you',
      device,
      role,
      address,
      ageText(context.clock.nowMs() - askedMs),
    ]);
    const head = ['code', 'state', 'calls itself', 'role', 'from', 'since'];
    for (const line of columns([head, ...rows])) context.write(line);
  },
});

export const approve = defineCommand({
  summary: 'enrols the device that shows this code',
  about:
    'What you say here counts; what the device says of itself is a proposal. A kiosk is a ' +
    'terminal and needs --payee --terminal --name. Where the bridge has no root (enrol.root in ' +
    'its configuration), sign with --root, at once or later with the same code.',
  inputs: [CODE],
  options: {
    config: CONFIG,
    role: {
      value: 'ROLE',
      choices: (Object.keys(ROLES) as Role[]).filter((role) => role !== 'bridge'),
      says: 'what the key is for (without it: as the device says)',
    },
    device: { value: 'NAME', says: 'its name in topics (without it: as it calls itself)' },
    payee: { value: 'ID', says: 'who is paid at this terminal' },
    terminal: { value: 'ID', says: 'which terminal of the payee it is' },
    name: { value: 'LANG=NAME', many: true, says: 'what people are shown as the payee' },
    category: { value: 'CODE', says: 'merchant category, ISO 18245, as 5814' },
    payer: { value: 'HEX', says: 'the person it belongs to, as told by root sign key' },
    presence: { value: 'N', whole: [0, 4], says: 'most presence that its requests count as' },
    days: {
      value: 'N',
      whole: [1, 3_660],
      says: 'how long it holds; renewed as long as it counts (without it: 365)',
    },
    root: { value: 'FILE', says: "sign with the root's private key in this file" },
    'passphrase-file': { value: 'FILE', says: 'file (mode 0600) with its passphrase' },
    by: BY,
    why: { value: 'WORDS', says: 'a remark for the evidence' },
    yes: { says: 'do it without asking' },
  },
  examples: [
    'device approve 7K3QD-9XMPA --config bridge.yaml --device kiosk-1 --payee luckin-coffee \\\n' +
      '    --terminal till-1 --name en="Luckin Coffee" --name zh=瑞幸咖啡',
    'device approve 7K3QD-9XMPA --config bridge.yaml --root /media/usb/root.key.pem',
  ],
  async run({ options, inputs }, context) {
    const { config } = options;
    const named = inputs[0]!;
    const found = await askBridge<EnrolmentView>(context, config, { ask: 'enrolment', named });
    const given = saidBy(options);
    const said = { ...found.said, ...given };
    const { key } = enrolKind.decode(payloadOf(fromHex(found.enrol)));
    const statement = statementFor({ public: key }, found, said, context.clock.nowMs());

    context.write(`${found.code} at ${found.address}, key ${found.key}`);
    const site = (await context.program('bridge')).readBridgeConfig(config).config;
    const { kid } = readVerifyKey(context.files, resolve(dirname(config), site.root));
    context.write(sentenceOf('key', statement, toHex(kid)));
    if (!options.yes) await requireDecision(context, 'Does its screen show this code?');

    const signed = options.root === undefined ? undefined : await sign(options.root);
    const view = await askBridge<EnrolmentView>(context, config, {
      ask: 'approve enrolment',
      named,
      said: given,
      ...(signed && { statement: toHex(signed) }),
      ...who(options, context),
    });
    if (view.state === 'enrolled') return context.write('it is enrolled; it fetches the rest now');
    context.write(
      `approved, and the root has still to sign: saytap device approve ${view.code} ` +
        `--config ${config} --root FILE`,
    );

    async function sign(path: string): Promise<Uint8Array> {
      const { files, askSecret } = context;
      const secret = options['passphrase-file'];
      const ask = () =>
        secret === undefined ? askSecret(`Passphrase of ${path}: `) : readSecretText(files, secret);
      const root = nodeSigner(await unlockKeyFile(files, path, ask));
      return signStatement(statement, site, root);
    }
  },
});

export const refuse = defineCommand({
  summary: 'sends the device that shows this code away',
  inputs: [CODE],
  options: { config: CONFIG, by: BY, why: { value: 'WORDS', says: 'the reason', needed: true } },
  examples: ['device refuse 7K3QD-9XMPA --config bridge.yaml --why "not ours"'],
  async run({ options, inputs }, context) {
    await askBridge(context, options.config, {
      ask: 'refuse enrolment',
      named: inputs[0]!,
      ...who(options, context),
    });
    context.write('it is told that it is refused');
  },
});

function saidBy(
  options: Readonly<{
    role: Role | undefined;
    device: string | undefined;
    payee: string | undefined;
    terminal: string | undefined;
    name: readonly string[];
    category: string | undefined;
    payer: string | undefined;
    presence: number | undefined;
    days: number | undefined;
  }>,
): Said {
  const { role, device, payee, terminal, category, payer, presence, days } = options;
  const names = namesOf(options.name);
  if (payer !== undefined && !/^[0-9a-f]{32}$/.test(payer)) {
    throw new UsageError('--payer is 32 hexadecimal digits');
  }
  return {
    ...(role !== undefined && { role }),
    ...(device !== undefined && { device }),
    ...(payee !== undefined && { payee }),
    ...(terminal !== undefined && { terminal }),
    ...(names.length > 0 && { names: names.map(([at, name]): [string, string] => [at, name]) }),
    ...(category !== undefined && { category: categoryOf(category) }),
    ...(payer !== undefined && { payer }),
    ...(presence !== undefined && { presence }),
    ...(days !== undefined && { days }),
  };
}

function who(
  { by, why }: Readonly<{ by: string | undefined; why: string | undefined }>,
  { variable }: Context,
) {
  const name = by ?? variable('USER') ?? 'operator';
  return { by: name.slice(0, 50), ...(why !== undefined && { why }) };
}
