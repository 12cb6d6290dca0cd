/** `saytap keys`: the enrolled keys of a bridge, and how to stop one. */
import { type Command, type Context, UsageError, defineCommand } from '../command.ts';
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

const suspend = setStatus(
  'suspended',
  'suspend',
  'stops a key until it is resumed',
  'phone lost',
  'Nothing that it signs is taken, and mandates that it signed do not count meanwhile.',
);
const resume = setStatus(
  'active',
  'resume',
  'lets a suspended key sign again',
  'phone found',
  'When the bridge suspended it by itself, two devices may hold it: find out before you resume it.',
);
const revoke = setStatus(
  'revoked',
  'revoke',
  'ends a key for good',
  'phone stolen',
  'It never counts again, whatever statement comes; its owner needs a new key and statement.',
);

export const command = Object.freeze({
  summary: 'the enrolled keys of a bridge: look, stop, end',
  examples: ['keys list --config /tmp/demo/bridge.yaml'],
  commands: { list, suspend, resume, revoke },
});

/** What is shown of a thumbprint: the kid, which envelopes name. */
const KID_CHARS = 16;

function everyKey(context: Context, config: string): Promise<readonly KeyView[]> {
  return everyRow<KeyView>(context, config, { ask: 'keys' }, ({ name }) => name);
}

function setStatus(
  status: KeyView['status'],
  verb: string,
  summary: string,
  why: string,
  about: string,
): Command {
  const command = defineCommand({
    summary,
    about: `${about} Who and why go into the evidence.`,
    inputs: [
      { value: 'KEY', says: 'its thumbprint, or the first 8 or more digits', needs: 'a key' },
    ],
    options: {
      config: CONFIG,
      ...PERSON_OPTIONS,
      yes: { says: 'do it without asking' },
    },
    examples: [
      `keys ${verb} 7b21b9b57f32e00f --config /tmp/demo/bridge.yaml --by mei --why "${why}"`,
    ],
    async run({ options, inputs }, context) {
      const { config, by, why } = options;
      const [given = ''] = inputs;
      if (!/^[0-9a-f]{8,64}$/.test(given)) {
        throw new UsageError('a key is named by 8 to 64 hexadecimal digits');
      }
      const all = await everyKey(context, config);
      const name = theOne(
        all.map((key) => key.name),
        given,
        'key',
      );
      const { role, device, status: before } = all.find((key) => key.name === name)!;
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
