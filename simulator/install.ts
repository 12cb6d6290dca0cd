/**
 * A small complete installation in one folder: root, wallet, keys, statements, policy, mandate and
 * the configuration of every program. `saytap start` makes it once and goes on with it.
 *
 * Everything is what an operator would make by hand, in the files that the programs read, so each
 * program can also be started alone on them. It is a simulation: environment `sim` is inside every
 * signature, and a live bridge refuses all of it.
 */
import { join } from 'node:path';
import { stringify } from 'yaml';
import { utf8 } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { requireFolder } from '../src/files.ts';
import { openKeyFile, openSecretFile } from '../src/keyfile.ts';
import { STATEMENT_DAYS } from '../src/limits.ts';
import { CHANNELS } from '../src/objects/request.ts';
import type { Clock, Files, Random } from '../src/platform.ts';
import { type Asked, readPolicy, signPolicy, signStatement, statementOf } from '../src/root.ts';
import { nodeSigner, publicPem } from '../src/signer.ts';
import { grantText, signMandate } from '../src/wallet.ts';
import { PIN_FILE, createPin } from '../device/pin.ts';

/** The names of the story. */
export const STORY = Object.freeze({
  realm: Object.freeze({ environment: 'sim', ledger: 'demo' } as const satisfies Realm),
  glasses: 'glasses-1',
  kiosk: 'kiosk-1',
  funding: 'acct-wang',
  payee: 'luckin-coffee',
  terminal: 'till-1',
  /** Fast food. */
  category: 5814,
  names: [
    ['en', 'Luckin Coffee'],
    ['zh', '瑞幸咖啡'],
  ],
  currency: 'CNY',
  /** Of the glasses, for amounts that need it; everybody may know it, this is a simulation. */
  pin: '2468',
  /** Fen. */
  perPaymentMax: 200_00n,
  collectMax: 20_00n,
  perDayMax: 500_00n,
  totalMax: 2_000_00n,
} as const);

export type Installation = Readonly<{
  folder: string;
  /** It grants and revokes; the ledger links its thumbprint to the funding account. */
  wallet: Signer;
  /** The pseudonym of its owner. */
  payer: Uint8Array;
  /** What the wallet's owner was shown when granting this run's mandate. */
  grantText: string;
  /** The wallet's owner grants another one, for a key of a device. */
  grant: (key: string, language: Language, kind: 'glasses' | 'kiosk') => Promise<Granted>;
  /** Writes NAME.yaml, the configuration of one program; returns the file. */
  configure: (name: string, settings: object) => string;
}>;

/** A mandate with what its owner was shown. */
export type Granted = Readonly<{ id: string; text: string; envelope: Uint8Array }>;
type Language = 'en' | 'zh';

/** Makes or completes the installation in `folder`; grants in `language`. Throws OperatorError. */
export async function install(
  ports: Readonly<{ files: Files; random: Random; clock: Clock }>,
  folder: string,
  language: Language = 'en',
): Promise<Installation> {
  const { files, random, clock } = ports;
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['.', 'statements', 'mandates', 'bridge', 'glasses', 'kiosk']) {
    requireFolder(files, at(name));
  }
  const key = (name: string) => nodeSigner(openKeyFile(files, at(name), 'ES256'));
  const root = key('root.key.pem');
  const wallet = key('wallet.key.pem');
  const glasses = key(join('glasses', 'device.key.pem'));
  const payer = openSecretFile(files, random, at('payer.id'), 16);
  openSecretFile(files, random, at('risk.secret'), 32);
  openSecretFile(files, random, at('ledger.secret'), 32);

  const nowS = Math.floor(clock.nowMs() / 1000);
  const valid = { nbf: nowS - DAY_S, exp: nowS + STATEMENT_DAYS * DAY_S };
  const state = async (
    name: string,
    signer: Signer,
    asked: Omit<Asked, 'key' | 'nbf' | 'exp'>,
  ): Promise<void> => {
    const statement = statementOf({ ...asked, ...valid, key: signer.key.public });
    const envelope = await signStatement(statement, STORY.realm, root);
    files.replace(at('statements', `${name}.key`), envelope, 0o644);
  };
  await state('bridge', key(join('bridge', 'bridge.key.pem')), { role: 'bridge' });
  await state('wallet', wallet, { role: 'wallet', payer });
  await state('glasses', glasses, { role: 'device', payer, device: STORY.glasses, presence: 3 });
  const pin = createPin(files, random, at('glasses', PIN_FILE));
  if (pin.state() === 'none') pin.set(STORY.pin);
  const kiosk = key(join('kiosk', 'device.key.pem'));
  await state('kiosk', kiosk, {
    role: 'terminal',
    device: STORY.kiosk,
    payee: STORY.payee,
    terminal: STORY.terminal,
    names: STORY.names,
    category: STORY.category,
  });
  files.replace(at('root.pub.pem'), utf8(publicPem(root.key)), 0o644);
  files.replace(at('policy.yaml'), utf8(POLICY), 0o644);
  const policy = readPolicy(POLICY, 'policy.yaml', nowS);
  const signed = await signPolicy(policy, STORY.realm, root, undefined);
  files.replace(at('platform.policy'), signed, 0o644);

  const grantAnew: Installation['grant'] = (device, spoken, kind) =>
    grant(Math.floor(clock.nowMs() / 1000), device, wallet, spoken, kind);
  const { text, envelope } = await grantAnew(glasses.key.name, language, 'glasses');
  files.replace(at('mandates', 'glasses.mandate'), envelope, 0o644);
  const collecting = await grantAnew(kiosk.key.name, language, 'kiosk');
  files.replace(at('mandates', 'kiosk.mandate'), collecting.envelope, 0o644);

  return {
    folder,
    wallet,
    payer,
    grantText: text,
    grant: grantAnew,
    configure(name, settings) {
      const path = at(`${name}.yaml`);
      files.replace(path, utf8(stringify({ ...settings })), 0o600);
      return path;
    },
  };
}

const DAY_S = 86_400;

/** What an operator would sign with `saytap root sign policy`. */
const POLICY = `# 20 yuan by voice, 100 by a physical act, 1,000 with the PIN; no other currency.
version: 1
scope: platform
ladders:
  - currency: ${STORY.currency}
    bands:
      - { upTo: "20.00", presence: 1 }
      - { upTo: "100.00", presence: 2 }
      - { upTo: "1000.00", presence: 3 }
`;

/** The wallet's owner grants a mandate for this session; an older one runs out within a day. */
async function grant(
  nowS: number,
  device: string,
  wallet: Signer,
  language: Language,
  kind: 'glasses' | 'kiosk',
): Promise<Granted> {
  const terms = {
    nbf: nowS - 60,
    exp: nowS + DAY_S,
    iat: nowS,
    cnf: device,
    funding: STORY.funding,
    currency: STORY.currency,
    // At a kiosk the owner's tag only identifies, so it is good for what a voice is good for.
    perPaymentMax: kind === 'glasses' ? STORY.perPaymentMax : STORY.collectMax,
    channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look,
    windows: [
      { kind: 'total', max: STORY.totalMax, count: 200 },
      { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: STORY.perDayMax, count: 50 },
    ],
    allow: [{ kind: 'payee', payee: STORY.payee }],
    bands: [
      { ceiling: 20_00n, level: 1 },
      { ceiling: 1_000_00n, level: 2 },
    ],
    epoch: 1,
  } as const;
  const [, name] = STORY.names.find(([one]) => one === language)!;
  const text = grantText(terms, language, () => name);
  return { text, ...(await signMandate(terms, text, STORY.realm, wallet)) };
}
