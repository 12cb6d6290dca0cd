/** `saytap start`: a whole payment system on this machine, and a story told with it. */
import { join, resolve } from 'node:path';
import { type Context, defineCommand } from '../command.ts';

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
    'no-page': { says: 'without the page for a browser, whose address is printed else' },
  },
  examples: ['start', 'start --once --data /tmp/demo', 'start --language zh'],
  async run({ options }, context) {
    const folder = dataFolder(options.data, context);
    // npm keeps an option for itself that stands before the two dashes.
    const once = options.once || context.variable('npm_config_once') === 'true';
    const { main } = await context.program('start');
    const page = !options['no-page'];
    return main({ folder, once, language: options.language ?? 'en', page }, context.write);
  },
});

/** Where an installation of the simulator is kept: as named, or in the user's data folder. */
export function dataFolder(
  named: string | undefined,
  { variable, home }: Pick<Context, 'variable' | 'home'>,
): string {
  const base = variable('XDG_DATA_HOME') ?? join(home, '.local', 'share');
  return resolve(named ?? join(base, 'saytap', 'demo'));
}
