/** `saytap start`: a whole payment system on this machine, and a story told with it. */
import { join, resolve } from 'node:path';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  summary: 'glasses, kiosk, bridge, risk, ledger and a story, on this machine',
  about:
    'Makes a small installation in the data folder, or goes on with the one that is there, runs ' +
    'all of it, tells a story of payments, and then takes sentences until you type quit. ' +
    'No real money moves.',
  options: {
    once: { says: 'end after the story; exit code 0 only if every step went right' },
    data: { value: 'DIR', says: "where everything is kept (without it: the user's data folder)" },
    language: { value: 'CODE', choices: ['en', 'zh'], says: 'what the glasses speak' },
  },
  examples: ['start', 'start --once --data /tmp/demo', 'start --language zh'],
  async run({ options }, context) {
    const base = context.variable('XDG_DATA_HOME') ?? join(context.home, '.local', 'share');
    const folder = resolve(options.data ?? join(base, 'saytap', 'demo'));
    // npm keeps an option for itself that stands before the two dashes.
    const once = options.once || context.variable('npm_config_once') === 'true';
    const { main } = await context.program('start');
    return main({ folder, once, language: options.language ?? 'en' }, context.write);
  },
});
