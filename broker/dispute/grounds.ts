/**
 * On what a payment rests: what the payer authorised, what was shown, and how it was confirmed.
 */
import { hash } from 'node:crypto';
import { bytesEqual, toHex, utf8 } from '../../src/bytes.ts';
import type { VerifyKey } from '../../src/keys.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Request } from '../../src/objects/request.ts';
import { presenceWords, spokenMoney } from '../../src/sentences.ts';
import { grantText } from '../../src/wallet.ts';
import { type Fact, fact, orderFacts, signatoryWords } from './events.ts';
import type { Prover } from '../proof.ts';
import { type Told, signatoryIn, valueIn } from './readings.ts';
import type { ChainLink, Run, Store } from '../store/port.ts';

export type Section = Readonly<{ title: string; facts: readonly Fact[] }>;

/** A link of the chain of mandates with its rows. */
export type Granted = Readonly<{ link: ChainLink; told: readonly Told[] }>;

/** The mandates from the wallet's to the one that was used. */
export function authority(
  granted: readonly Granted[],
  names: ReadonlyMap<string, readonly string[]>,
  root: VerifyKey | undefined,
): Section {
  const facts = granted.toReversed().flatMap(({ link, told }): readonly Fact[] => {
    const { mandate } = link;
    const signatory = signatoryIn(told, 'mandate');
    const text = textOf(mandate, names);
    return [
      fact('Mandate', link.id),
      fact(
        'Signed by',
        signatory
          ? signatoryWords(signatory)
          : `key ${link.issuer}: the mandate's envelope is not in the chain`,
      ),
      fact('For payer', link.payer),
      fact('To the key', mandate.cnf),
      { name: 'In words', lines: text.lines },
      fact(
        'Text shown',
        text.isShown
          ? `exactly these words: their digest ${toHex(mandate.textDigest)} was signed`
          : `another text was shown, digest ${toHex(mandate.textDigest)}; these words are made ` +
              'from the signed fields',
      ),
      fact('Stands now', link.status),
    ];
  });
  const title = 'Who authorised it';
  if (granted.length === 0) return { title, facts: [fact('Mandate', 'none is known here')] };
  return { title, facts: root ? [fact('Root', `key ${root.name}`), ...facts] : facts };
}

/** The payer's text in the words that were signed, if they can be found; else in English. */
function textOf(mandate: Mandate, names: ReadonlyMap<string, readonly string[]>) {
  for (const language of ['en', 'zh'] as const) {
    for (const place of [-1, 0, 1, 2]) {
      const nameOf = (payee: string) => names.get(payee)?.[place] ?? payee;
      const text = grantText(mandate, language, nameOf);
      if (bytesEqual(hash('sha256', utf8(text), 'buffer'), mandate.textDigest)) {
        return { lines: text.split('\n'), isShown: true };
      }
    }
  }
  const text = grantText(mandate, 'en', (payee) => payee);
  return { lines: text.split('\n'), isShown: false };
}

/** Display names of the payees that mandates name. */
export async function namesIn(store: Store, granted: readonly Granted[]) {
  const names = new Map<string, readonly string[]>();
  for (const { link } of granted) {
    for (const scope of [...link.mandate.allow, ...(link.mandate.deny ?? [])]) {
      if (scope.kind !== 'payee' || names.has(scope.payee)) continue;
      const [terminal] = await store.terminals(scope.payee);
      names.set(
        scope.payee,
        (terminal?.names ?? []).map(([, name]) => name),
      );
    }
  }
  return names;
}

/** A payee by the name that people are shown; `says`: whose word it is, `key`: that one's key. */
export type Payee = Readonly<{
  id: string;
  name: string;
  names: readonly string[];
  says: string;
  key?: string;
}>;

/** The name that a device shows: only the root's statement about a terminal has it. */
export async function payeeOf(
  store: Store,
  prover: Prover,
  request: Request,
  order: readonly Told[],
): Promise<Payee> {
  const id = request.payee;
  const terminals = await store.terminals(id);
  const statement =
    signatoryIn(order, 'order')?.statement ??
    terminals.find(({ terminal }) => terminal === request.terminal) ??
    terminals[0];
  if (!statement?.names || statement.payee !== id) {
    return { id, name: id, names: [], says: 'no terminal of this payee counts here any more' };
  }
  const names = statement.names.map(([language, name]) => `${language}: “${name}”`);
  const signatory =
    signatoryIn(order, 'order') ??
    (statement.device === undefined
      ? undefined
      : await store
          .identityOfDevice(statement.device)
          .then((identity) => identity && prover.signatory(identity.name, Infinity)));
  const says = signatory ? signatoryWords(signatory) : `terminal ${statement.terminal}`;
  const key = signatory && { key: signatory.name };
  return { id, name: statement.names[0]![1], names, says, ...key };
}

/** What was to be paid to whom, in the words that a device shows. */
export function shown(
  request: Request | undefined,
  order: readonly Told[],
  payee: Payee | undefined,
): Section {
  const lines = valueIn(order, 'order') as Order | undefined;
  const facts = [
    ...(request
      ? [
          fact('Action', request.action),
          ...(request.amount ? [fact('Amount', spokenMoney(request.amount))] : []),
        ]
      : []),
    ...(payee
      ? [
          fact('Payee', payee.id),
          { name: 'Shown to people as', lines: payee.names.length > 0 ? payee.names : [payee.id] },
          fact('The name is from', payee.says),
        ]
      : []),
    ...(request?.terminal === undefined ? [] : [fact('Terminal', request.terminal)]),
    ...(lines ? orderFacts(lines) : []),
  ];
  return { title: 'What was asked and shown', facts };
}

/** By whom and how surely. */
export function confirmed(
  request: Request | undefined,
  run: Run | undefined,
  own: readonly Told[],
): Section {
  if (!request) return { title: 'How it was confirmed', facts: [] };
  const signatory = signatoryIn(own, 'request');
  const counted = countedIn(own, run);
  return {
    title: 'How it was confirmed',
    facts: [
      ...(signatory ? [fact('Signed by', signatoryWords(signatory))] : []),
      fact('Presence claimed', presenceWords(request.presence)),
      fact(
        'Presence counted',
        counted ? presenceWords(counted.presence) : 'nothing, it was refused',
      ),
      fact(
        'Channel',
        counted && counted.channel !== request.channel
          ? `${request.channel}, counted as ${counted.channel}`
          : request.channel,
      ),
      fact(
        'Transcript',
        request.transcript
          ? `kept by the device, SHA-256 with its salt ${toHex(request.transcript)}`
          : 'none at this level of presence',
      ),
      fact('Counter', `${request.counter} of this key, used once`),
      fact('Nonce', `${toHex(request.nonce)}, of a tick shortly before`),
    ],
  };
}

function countedIn(own: readonly Told[], run: Run | undefined) {
  const verdict = own.find(({ row }) => row.kind === 'verdict')?.reading;
  const value = verdict?.kind === 'record' ? verdict.value : undefined;
  if (value) {
    if (value['kind'] !== 'accept') return undefined;
    return { presence: Number(value['presence']), channel: String(value['channel']) };
  }
  return run && run.refusal === undefined ? run : undefined;
}
