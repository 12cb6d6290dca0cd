/**
 * A trace that can be shown to anybody, and that still replays to the same verdicts.
 *
 * Replacing a name inside signed bytes breaks the signature, so everything is signed anew, with
 * throwaway keys under a throwaway root: payees, terminals, devices, accounts, wallets and basket
 * lines get other names, consistently, and every amount, limits too, is multiplied by one number
 * that nobody keeps. What was compared with what, and came out how, is left as it was; so are times
 * and counts. What did not hold its signature then does not hold one now.
 */
import { type VerifyKey, loadKey } from '../../src/keys.ts';
import { fromBase64url, fromHex, toBase64url, toHex } from '../../src/bytes.ts';
import { type Signer, identify, kidOf, payloadOf } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import { MINOR_MAX, formatMoney } from '../../src/money.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { type Kind, open, seal } from '../../src/objects/kind.ts';
import { KINDS, type KindName } from '../../src/objects/kinds.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { nodeSigner, publicPem, readPublicPem } from '../../src/signer.ts';
import { parseTopic } from '../../src/topics.ts';
import { readUtterance } from '../../device/intents/reading.ts';
import { createDirectory } from '../../device/payees.ts';
import { createChance } from '../chance.ts';
import { privateKey } from '../site.ts';
import type { Input, Moment, Trace } from '../trace.ts';

/** The same trace for strangers; `secret` is drawn anew for each and kept by nobody. */
export async function redact(trace: Trace, secret: string): Promise<Trace> {
  const chance = createChance(`redaction ${secret}`);
  const first = BigInt(chance.fork('factor').between(FACTOR_MIN, FACTOR_MAX));
  for (const factor of [first, 7n, 3n]) {
    try {
      return await redactBy(factor, trace, secret);
    } catch (error) {
      // An amount that is near the largest possible one cannot be multiplied by much.
      if (!(error instanceof PaymentError)) throw error;
    }
  }
  return redactBy(1n, trace, secret);
}

const FACTOR_MIN = 11;
const FACTOR_MAX = 997;

async function redactBy(factor: bigint, trace: Trace, secret: string): Promise<Trace> {
  const chance = createChance(`redaction ${secret}`);
  const { realm } = trace;
  const aliases = new Map<string, string>();
  const counts = new Map<string, number>();
  /** The nth of its sort, as it is met: "payee-1"; `said` for what people read. */
  const alias = (sort: string, name: string): string => {
    const key = `${sort} ${name}`;
    const known = aliases.get(key);
    if (known !== undefined) return known;
    const count = (counts.get(sort) ?? 0) + 1;
    counts.set(sort, count);
    const fresh = `${sort}-${count}`;
    aliases.set(key, fresh);
    return fresh;
  };
  const ids = new Map<string, string>();
  const idOf = (id: string) => ids.get(id) ?? toHex(chance.fork(`id ${id}`).bytes(16));
  const signers = new Map<string, Signer>();
  const signerOf = (name: string): Signer => {
    const signer = signers.get(name) ?? nodeSigner(privateKey('EdDSA', chance.fork(`key ${name}`)));
    signers.set(name, signer);
    return signer;
  };
  const scale = (minor: bigint): bigint => {
    const scaled = minor * factor;
    if (scaled > MINOR_MAX) throw new PaymentError('malformed', 'an amount beyond 2^53 − 1');
    return scaled;
  };
  /** What people read, and what stands there now; the longest first. */
  const texts = new Map<string, string>();

  /** A value with every name and amount in it replaced, by the names of its fields. */
  const replaced = (value: unknown, field: string): unknown => {
    if (typeof value === 'bigint') return scale(value);
    if (value instanceof Uint8Array) return bytesFor(value, field);
    if (typeof value === 'string') return textFor(value, field);
    if (field === 'names') return namesFor(value as KeyStatement['names']);
    if (Array.isArray(value)) return value.map((item) => replaced(item, field));
    if (value instanceof Map || typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([name, part]) => [name, replaced(part, name)]);
    return Object.fromEntries(entries);
  };
  const textFor = (value: string, field: string): string => {
    switch (field) {
      case 'payee':
      case 'terminal':
      case 'device':
      case 'funding':
        return alias(field, value);
      case 'cnf':
        return signerOf(value).key.name;
      case 'mandate':
      case 'parent':
      case 'order':
      case 'original':
      case 'subject':
        return idOf(value);
      case 'text': {
        const item = `Item ${lettered(alias('item', value))}`;
        texts.set(value, item);
        return item;
      }
      default:
        return value;
    }
  };
  const bytesFor = (value: Uint8Array, field: string): Uint8Array => {
    if (!SECRET_BYTES.includes(field)) return value;
    return chance.fork(`${field} ${toHex(value)}`).bytes(value.length);
  };
  const namesFor = (names: KeyStatement['names']): KeyStatement['names'] =>
    names?.map(([language, text], n) => {
      const letter = lettered(alias('shop', names[0]![1]));
      const fresh = language === 'zh' ? `店铺${letter}` : `Shop ${letter}${n > 1 ? ` ${n}` : ''}`;
      texts.set(text, fresh);
      return [language, fresh];
    });

  const oldRoot = readPublicPem(trace.root);
  const root = signerOf(`root ${oldRoot.name}`);
  /** Keys of then, by their kid. */
  const keys = new Map<string, VerifyKey>();
  const statements: string[] = [];
  for (const envelope of trace.statements.map(fromHex)) {
    const value = keyStatement.decode(payloadOf(envelope));
    const key = loadKey(value.key);
    keys.set(toHex(key.kid), key);
    const fresh = replaced({ ...value, key: undefined }, '') as KeyStatement;
    const named = { ...fresh, key: signerOf(key.name).key.public };
    statements.push(toHex(await seal(keyStatement, withoutUndefined(named), realm, root)));
  }
  const policies: string[] = [];
  for (const envelope of trace.policies.map(fromHex)) {
    const value = replaced(policyKind.decode(payloadOf(envelope)), '');
    policies.push(toHex(await seal(policyKind, value as never, realm, root)));
  }

  /** The same message signed anew, by the bytes that it had. */
  const messages = new Map<string, string>();
  const renew = async (bytes: string, kind: KindName): Promise<void> => {
    if (messages.has(bytes)) return;
    const envelope = fromHex(bytes);
    const junk = toHex(chance.fork(`junk ${bytes}`).bytes(envelope.length));
    try {
      const named = KINDS[kind] as unknown as Kind<object>;
      const key = keys.get(toHex(kidOf(envelope)));
      const value = named.decode(payloadOf(envelope));
      const signer = signerOf(key?.name ?? `stranger ${toHex(kidOf(envelope))}`);
      const fresh = await seal(named, replaced(value, '') as object, realm, signer);
      ids.set(identify(envelope, realm, kind).id, identify(fresh, realm, kind).id);
      if (key && !isSignedBy(envelope, named, key)) fresh[fresh.length - 1]! ^= 1;
      messages.set(bytes, toHex(fresh));
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      messages.set(bytes, junk);
    }
  };
  const isSignedBy = (envelope: Uint8Array, kind: Kind<object>, key: VerifyKey): boolean => {
    try {
      return open(kind, envelope, realm, () => key) !== undefined;
    } catch (error) {
      if (error instanceof PaymentError) return false;
      throw error;
    }
  };
  // What others name comes before them: parents before children, orders before who pays them.
  for (const { bytes, tail } of inOrder(trace.inputs)) await renew(bytes, tail);

  const inputs = trace.inputs.map((input): Input => {
    if (input.what === 'key') return { ...input, name: signerOf(input.name).key.name };
    if (input.what === 'lease') {
      const minor = String(scale(BigInt(input.minor)));
      return { ...input, mandate: idOf(input.mandate), minor };
    }
    return { ...input, topic: topicOf(input.topic), bytes: messages.get(input.bytes)! };
  });
  const hostOf = (name: string) =>
    name === 'bridge' || name === 'broker' ? name : alias('device', name);

  function topicOf(topic: string): string {
    const device = parseTopic(topic)?.device;
    return device === undefined
      ? topic
      : topic.replace(`/${device}/`, `/${alias('device', device)}/`);
  }

  const directory = createDirectory(payeesIn(trace));
  function momentOf(moment: Moment): Moment {
    switch (moment.what) {
      case 'sensed':
        return { ...moment, text: sensedText(moment.text) };
      case 'shown': {
        const lines = moment.lines.map(plainText);
        return { ...moment, lines, sentence: plainText(moment.sentence) };
      }
      case 'said':
        return { ...moment, sentence: plainText(moment.sentence) };
      default:
        return moment;
    }
  }

  /** A sentence or link that is read as the same thing about the replaced names. */
  function sensedText(text: string): string {
    if (text.startsWith('saytap://')) return linkText(text);
    const { language } = trace;
    const reading = readUtterance(text, { directory, language });
    if (reading.kind === 'miss') return `(${reading.why})`;
    if (reading.kind !== 'pay' && reading.kind !== 'amount') {
      return reading.kind === 'ask_amount' || reading.kind === 'ask_payee'
        ? `(${reading.kind})`
        : text;
    }
    const { currency, minor } = reading.amount;
    const amount = formatMoney({ currency, minor: scale(minor) }, language);
    if (reading.kind === 'amount') return amount;
    const own = reading.payee.names.find(([one]) => one === language) ?? reading.payee.names[0]!;
    const name = texts.get(own[1]) ?? own[1];
    return language === 'zh' ? `付${amount}给${name}` : `pay ${amount} to ${name}`;
  }

  function linkText(text: string): string {
    const [, order] = /^saytap:\/\/order\/([\w-]+)$/.exec(text) ?? [];
    if (order !== undefined) {
      const fresh = messages.get(toHex(fromBase64url(order)));
      return fresh === undefined
        ? 'saytap://order/'
        : `saytap://order/${toBase64url(fromHex(fresh))}`;
    }
    const [, payer] = /^saytap:\/\/payer\/([0-9a-f]{32})$/.exec(text) ?? [];
    if (payer !== undefined) return `saytap://payer/${idOf(payer)}`;
    const [, payee, amount = ''] = /^saytap:\/\/payee\/([\w-]+)(\?amount=.*)?$/.exec(text) ?? [];
    if (payee === undefined) return '(link)';
    return `saytap://payee/${alias('payee', payee)}${scaledText(amount)}`;
  }

  /** A sentence of a device: names replaced wherever they stand, and every number with a unit. */
  function plainText(text: string): string {
    const names = [...texts].sort(([a], [b]) => b.length - a.length);
    const marks = names.map(([name], n) => [name, `\u0001${n}\u0002`] as const);
    const marked = marks.reduce((all, [name, mark]) => all.replaceAll(name, mark), text);
    const scaled = scaledText(marked);
    return names.reduce((all, [, fresh], n) => all.replaceAll(`\u0001${n}\u0002`, fresh), scaled);
  }

  function scaledText(text: string): string {
    return text.replaceAll(MONEY, (_all, code = '', bare, first = '', unit = '') => {
      const [units = '', part = ''] = String(bare ?? first).split('.');
      const digits = scale(BigInt(units + part))
        .toString()
        .padStart(part.length + 1, '0');
      const point = digits.length - part.length;
      const number = part === '' ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
      return `${code}${number}${unit}`;
    });
  }

  // Names of shops are met with their statements, and those of baskets with their orders.
  return Object.freeze({
    ...trace,
    isRedacted: true,
    id: trace.id === undefined ? undefined : idOf(trace.id),
    device: alias('device', trace.device),
    moments: trace.moments.map(momentOf),
    hops: trace.hops.map((hop) => ({
      ...hop,
      from: hostOf(hop.from),
      to: hostOf(hop.to),
      topic: topicOf(hop.topic),
    })),
    root: publicPem(root.key),
    statements,
    policies,
    inputs,
    verdicts: trace.verdicts.map((verdict) => ({ ...verdict, subject: idOf(verdict.subject) })),
  });
}

/** Bytes that say who somebody is, or that could be guessed at. */
const SECRET_BYTES = ['payer', 'salt', 'textDigest', 'transcript', 'echo'];

/** A number with its currency: "12.50 yuan", "12.50元", "CNY12.50". */
const MONEY = new RegExp(
  `([A-Z]{3})(\\d+(?:\\.\\d+)?)|` +
    `(\\d+(?:\\.\\d+)?)( ?(?:yuan|yen|US dollars|[A-Z]{3}\\b)|日元|美元|元)`,
  'g',
);

/** "shop-3" → C. */
function lettered(name: string): string {
  let n = Number(name.split('-').at(-1));
  let letters = '';
  for (; n > 0; n = Math.floor((n - 1) / 26)) {
    letters = String.fromCharCode(65 + ((n - 1) % 26)) + letters;
  }
  return letters;
}

/** Messages by what they are, and mandates after those that they are handed on from. */
function inOrder(inputs: readonly Input[]): readonly Readonly<{ bytes: string; tail: KindName }>[] {
  const all = inputs.flatMap((input) => {
    const tail = input.what === 'message' ? parseTopic(input.topic)?.tail : undefined;
    if (input.what !== 'message' || tail === undefined || tail === 'unsigned') return [];
    return [{ bytes: input.bytes, tail }];
  });
  const rank = (tail: KindName) => ['mandate', 'order', 'request'].indexOf(tail) >>> 0;
  return all.toSorted((a, b) => rank(a.tail) - rank(b.tail) || depth(a) - depth(b));

  function depth({ bytes, tail }: Readonly<{ bytes: string; tail: KindName }>): number {
    if (tail !== 'mandate') return 0;
    try {
      return mandateKind.decode(payloadOf(fromHex(bytes))).parent === undefined ? 0 : 1;
    } catch (error) {
      if (error instanceof PaymentError) return 0;
      throw error;
    }
  }
}

function payeesIn({ statements }: Trace) {
  const payees = new Map<string, NonNullable<KeyStatement['names']>>();
  for (const envelope of statements) {
    const { payee, names } = keyStatement.decode(payloadOf(fromHex(envelope)));
    if (payee !== undefined && names) payees.set(payee, names);
  }
  return [...payees].map(([id, names]) => ({ id, names }));
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}
