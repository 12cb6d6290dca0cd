/** What happens to machines, services and the network. */
import { whileOf } from './moment.ts';
import {
  type Faults,
  type Text,
  type Written,
  fieldsOf,
  textOf,
  unknown,
  wordOf,
} from './source.ts';
import { type About, DISK_TROUBLES, type Verb, bare, machinesIn } from './verb.ts';

export const restoreVerb: Verb = {
  says: 'puts a backup in the place of what it has, and starts again',
  example: 'bridge: { restore: "${last-night}" }',
  read(value, { faults, refer }) {
    const text = textOf(value, 'a backup', faults);
    const backup = text && refer(text, 'backup');
    return backup === undefined ? undefined : { does: 'restore', backup };
  },
};

const powerVerb: Verb = {
  says: 'loses power, at once or after so many calls of the outside world; back by start, or for:',
  example: 'wang-glasses: { power: cut }',
  read(value, { faults }) {
    const text = textOf(value, 'cut, or cut after 3 calls', faults);
    if (!text) return undefined;
    const [, calls] = /^cut after ([1-9]\d{0,3}) calls?$/.exec(text.text) ?? [];
    if (text.text === 'cut') return { does: 'power', calls: undefined };
    if (calls !== undefined) return { does: 'power', calls: Number(calls) };
    faults.tell(text.place, unknown(text.text, 'what power does', ['cut', 'cut after 3 calls']));
    return undefined;
  },
};

const diskVerb: Verb = {
  says: `has a disk that is ${DISK_TROUBLES.join(', ')}, or well again`,
  example: 'till: { disk: full }',
  read(value, { faults }) {
    const trouble = wordOf(value, [...DISK_TROUBLES, 'well'], 'a trouble of a disk', faults);
    return trouble && { does: 'disk', trouble };
  },
};

const clockVerb: Verb = {
  says: 'has its clock set wrong by a while',
  example: 'till: { clock: -2h }',
  read(value, { faults }) {
    const text = textOf(value, 'a while, as -2h', faults);
    const [, sign, rest = ''] = /^([+-])(.+)$/.exec(text?.text ?? '') ?? [];
    const ms = whileOf(rest);
    if (text && ms === undefined) {
      faults.tell(text.place, `“${text.text}” is not by how much a clock is set, as -2h or +10m`);
    }
    return ms === undefined ? undefined : { does: 'clock', jumpMs: sign === '-' ? -ms : ms };
  },
};

/** A service's or the network's troubles, each a verb: `risk: away`, `ledger: { late: 50% }`. */
export function troubleVerb(
  actor: 'network' | 'risk' | 'ledger' | 'broker',
  trouble: string,
): Verb {
  const isNetwork = actor === 'network';
  const isTimed = isNetwork && (trouble === 'delay' || trouble === 'repeat');
  const example = !isNetwork
    ? `${actor}: ${trouble}`
    : trouble === 'cut'
      ? 'network: { cut: [till] }'
      : `network: { ${trouble}: { share: 30%${isTimed ? ', by: 2s' : ''}, of: [till] } }`;
  return {
    says: TROUBLE_WORDS[trouble] ?? trouble,
    example,
    read(value, about) {
      const { faults } = about;
      const usual = { does: 'trouble', trouble, share: 1, ms: 2000, of: [] } as const;
      if (value.kind === 'nothing') return usual;
      if (value.kind === 'text' && /%$/.test(value.text)) {
        const share = shareOf(value, faults);
        return share === undefined ? undefined : { ...usual, share };
      }
      if (!isNetwork) {
        faults.tell(value.place, `what follows ${trouble} is nothing, or a share as 30%`);
        return undefined;
      }
      if (value.kind !== 'fields') return { ...usual, of: machinesOf(value, about) };
      const names = isTimed ? (['share', 'by', 'of'] as const) : (['share', 'of'] as const);
      const fields: Partial<Record<'share' | 'by' | 'of', { value: Written }>> = fieldsOf(
        value,
        names,
        `what ${trouble} says`,
        faults,
      );
      const share = fields.share && textOf(fields.share.value, 'a share as 30%', faults);
      const by = fields.by && textOf(fields.by.value, 'a while as 2s', faults);
      const ms = by && whileOf(by.text);
      if (by && ms === undefined) faults.tell(by.place, `“${by.text}” is no while, as 2s`);
      return {
        ...usual,
        share: (share && shareOf(share, faults)) ?? 1,
        ms: ms ?? 2000,
        of: fields.of ? machinesOf(fields.of.value, about) : [],
      };
    },
  };
}

export function mendVerb(actor: string, word: 'mend' | 'well'): Verb {
  return {
    says: 'is whole again',
    example: `${actor}: ${word}`,
    read: (value, { faults }) => {
      if (value.kind !== 'nothing') faults.tell(value.place, `nothing is said after ${word}`);
      return { does: 'mend' };
    },
  };
}

export const operatorRevokes: Verb = {
  says: 'revokes the key of a device, with the root of the site',
  example: 'operator: { revoke: till }',
  read(value, { cast, faults }) {
    const known = machinesIn(cast);
    const what = wordOf(value, known, 'a device', faults);
    return what === undefined ? undefined : { does: 'revoke', what };
  },
};

const TROUBLE_WORDS: Readonly<Record<string, string>> = {
  cut: 'nothing arrives: everywhere, or to and from these machines',
  lose: 'loses a share of what is sent',
  delay: 'lets a share of it arrive later, so that other messages pass it',
  repeat: 'lets a share of it arrive twice',
  away: 'is not there',
  slow: 'answers after a while',
  garbage: 'answers what nobody understands',
  error: 'answers 500',
  deny: 'denies every payment',
  'step-up': 'wants a stronger confirmation for every payment',
  refuses: 'refuses every call',
  loseBefore: 'breaks the connection before anything is executed',
  loseAfter: 'executes, and breaks the connection before it answers',
  late: 'answers when the bridge has given up waiting',
  twice: 'executes twice under one key, and answers twice',
  later: 'answers “in process”, and executes later',
  noticeFirst: 'sends its notice before its answer',
  noticeTwice: 'sends its notice twice',
  noticeLate: 'sends its notice late',
  noticeLost: 'never sends its notice',
};

export function troubles(actor: 'network' | 'risk' | 'ledger', names: readonly string[]) {
  return Object.fromEntries(names.map((name) => [name, troubleVerb(actor, name)]));
}

/** Of whatever has a disk and a plug. */
export const machine = (who: string): Readonly<Record<string, Verb>> => ({
  kill: bare('kill', 'its process ends (kill -9); back by start, or after for:', who),
  start: bare('start', 'starts again', who),
  restart: bare('restart', 'its process ends and starts again', who),
  power: { ...powerVerb, example: powerVerb.example.replace('wang-glasses', who) },
  disk: { ...diskVerb, example: diskVerb.example.replace('till', who) },
  clock: { ...clockVerb, example: clockVerb.example.replace('till', who) },
});

function machinesOf(value: Written, { cast, faults }: About): readonly string[] {
  const items = value.kind === 'list' ? value.items : [value];
  const known = [...machinesIn(cast), 'bridge', 'risk', 'ledger'];
  return items.flatMap((item) => wordOf(item, known, 'a machine', faults) ?? []);
}

function shareOf(text: Text, faults: Faults): number | undefined {
  const [, number] = /^(\d{1,3})%$/.exec(text.text) ?? [];
  if (number !== undefined && Number(number) <= 100) return Number(number) / 100;
  faults.tell(text.place, `“${text.text}” is no share from 0% to 100%`);
  return undefined;
}
