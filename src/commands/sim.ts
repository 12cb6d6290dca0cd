/** `saytap sim`: the simulator's page, on this machine alone. */
import { defineCommand } from '../command.ts';
import { dataFolder } from './start.ts';

export const command = defineCommand({
  summary: 'glasses, kiosk and companion on a page, where things go wrong',
  about:
    'Makes a small installation in the data folder, or goes on with the one that is there, runs ' +
    'all of it and prints the address of a page. The page is there for this machine alone, and ' +
    'only for whoever has that whole address. Ends with Ctrl-C. No real money moves.',
  options: {
    port: { value: 'N', whole: [0, 65_535], says: 'of the page (without it a free one)' },
    data: { value: 'DIR', says: "where everything is kept (without it: the user's data folder)" },
    language: { value: 'CODE', choices: ['en', 'zh'], says: 'what devices and page speak' },
  },
  examples: ['sim', 'sim --port 7170 --language zh'],
  async run({ options }, context) {
    const folder = dataFolder(options.data, context);
    const { page } = await context.program('start');
    const { language = 'en', port = 0 } = options;
    return page({ folder, language, port }, context.write);
  },
});
