/** `saytap keys`: the enrolled keys of a bridge, and how to stop one. */
import { type Command, type Context, type Input, UsageError, defineCommand } from '../command.ts';
import { OperatorError } from '../errors.ts';
import { utc } from '../sentences.ts';
import {
  CONFIG,
  type KeyView,
  PERSON_OPTIONS,
  askBridge,
  columns,
  everyRow,
  requireDecision,
  theOne,
} from './operator.ts';

const list = defineCommand({
  summary: 'every key that the bridge knows, and whether it counts',
  options: { config: CONFIG },
  examples: ['keys list --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const rows = await everyKey(context, options.config);
    if (rows.length === 0) return context.write('no keys');
    const table = rows.map(({ name, status, role, device, payee, payer, until }) => [
      name.slice(0, KID_CHARS),
      status,
      role,
      device ?? '-',
      payee ?? (payer === undefined ? '-' : `payer ${payer}`),
      utc(until),
    ]);
    const head = ['key', 'status', 'role', 'device', 'whose', 'statement until'];
    for (const line of columns([head, ...table])) context.write(line);
  },
});

/** Finds the one key that a person names. Throws UsageError when there is none, or several. */
export type FindKey = (all: readonly KeyView[], given: string) => KeyView;

const byThumbprint: FindKey = (all, given) => {
  if (!/^[0-9a-f]{8,64}$/.test(given)) {
    throw new UsageError('a key is named by 8 to 64 hexadecimal digits');
  }
  const names = all.map((key) => key.name);
  const name = theOne(names, given, 'key');
  return all.find((key) => key.name === name)!;
};

/**
 * `suspend`, `resume` and `revoke` of a key, however a person names it; `of` is the noun of the
 * command and `example` a name.
 */
export function standingCommands(
  of: 'keys' | 'device',
  input: Input,
  example: string,
  find: FindKey,
): Readonly<Record<'suspend' | 'resume' | 'revoke', Command>> {
  const set = (
    status: KeyView['status'],
    verb: string,
    summary: string,
    why: string,
    say: string,
  ) => setStatus({ of, input, example, find, status, verb, summary, why, about: say });
  const what = of === 'keys' ? 'a key' : 'a device';
  return {
    suspend: set(
      'suspended',
      'suspend',
      `stops ${what} until it is resumed`,
      'phone lost',
      'Nothing that its key signs is taken, and mandates that it signed do not count meanwhile.',
    ),
    resume: set(
      'active',
      'resume',
      `lets a suspended ${of === 'keys' ? 'key' : 'device'} sign again`,
      'phone found',
      'When the bridge suspended it by itself, two devices may hold its key: find out before you ' +
        'resume it.',
    ),
    revoke: set(
      'revoked',
      'revoke',
      `ends ${of === 'keys' ? 'a key' : 'the key of a device'} for good`,
      'phone stolen',
      'The key never counts again, whatever statement comes; its owner needs a new key and ' +
        'statement.',
    ),
  };
}

export const command = Object.freeze({
  summary: 'the enrolled keys of a bridge: look, stop, end',
  examples: ['keys list --config /tmp/demo/bridge.yaml'],
  commands: {
    list,
    ...standingCommands(
      'keys',
      { value: 'KEY', says: 'its thumbprint, or the first 8 or more digits', needs: 'a key' },
      '7b21b9b57f32e00f',
      byThumbprint,
    ),
  },
});

/** What is shown of a thumbprint: the kid, which envelopes name. */
const KID_CHARS = 16;

function everyKey(context: Context, config: string): Promise<readonly KeyView[]> {
  return everyRow<KeyView>(context, config, { ask: 'keys' }, ({ name }) => name);
}

function setStatus(
  deed: Readonly<{
    of: 'keys' | 'device';
    input: Input;
    example: string;
    find: FindKey;
    status: KeyView['status'];
    verb: string;
    summary: string;
    why: string;
    about: string;
  }>,
): Command {
  const { of, status, verb, summary } = deed;
  const command = defineCommand({
    summary,
    about: `${deed.about} Who and why go into the evidence.`,
    inputs: [deed.input],
    options: {
      config: CONFIG,
      ...PERSON_OPTIONS,
      yes: { says: 'do it without asking' },
    },
    examples: [
      `${of} ${verb} ${deed.example} --config /tmp/demo/bridge.yaml --by mei --why "${deed.why}"`,
    ],
    async run({ options, inputs }, context) {
      const { config, by, why } = options;
      const key = deed.find(await everyKey(context, config), inputs[0] ?? '');
      const { name, role, device, status: before } = key;
      const whose = device === undefined ? role : `${role} ${device}`;
      context.write(`key ${name} of the ${whose}, ${before}`);
      if (status === 'revoked' && !options.yes) {
        await requireDecision(context, 'End this key for good?');
      }
      const { changed } = await askBridge<Readonly<{ changed: boolean }>>(context, config, {
        ask: 'set key',
        name,
        status,
        by,
        why,
      });
      if (changed) return context.write(`it is ${status} now`);
      throw new OperatorError('failed', `it stays ${before}`);
    },
  });
  if (status === 'revoked') return command;
  // What can be taken back is done without asking, so there is nothing to say yes to.
  const { yes: _yes, ...options } = command.options!;
  return Object.freeze({ ...command, options });
}
