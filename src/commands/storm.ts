/** `saytap storm`: whole worlds from one seed, and whether they keep their promises. */
import { UsageError, defineCommand } from '../command.ts';
import { requirePlace } from '../files.ts';
import { STORM_JOBS_MAX } from '../limits.ts';

export const command = defineCommand({
  summary: 'whole worlds under faults, each from one seed, checked all the time',
  about:
    'Devices, a bridge and people in a simulated network, with everything that breaks in a plan ' +
    'drawn from the seed: first it breaks, then all is whole and everything has to end. The same ' +
    'seed does the same on every machine. Ends with 0 when every promise was kept, 7 when a ' +
    'program crashed, 8 when money went wrong, 9 when something never ended. No real money moves.',
  options: {
    seeds: { value: 'A..B', says: 'seeds from A to B, or one (without it 1..100)' },
    plan: { value: 'FILE', says: 'a saved plan instead of seeds' },
    jobs: {
      value: 'N',
      whole: [1, STORM_JOBS_MAX],
      says: 'processes at once (without it one per processor)',
    },
    shrink: { says: 'take out of the first failure what it does not need' },
    out: { value: 'FILE', says: 'where the plan of the first failure is kept' },
    trace: { value: 'DIR', says: 'keep each payment of one storm there for saytap trace' },
    hash: { says: 'print the hash of all that was seen: equal on every machine' },
    json: { says: 'one line of JSON for each storm, for programs' },
  },
  examples: [
    'storm --seeds 1..1000',
    'storm --seeds 4711 --shrink --out failure.json',
    'storm --plan failure.json',
  ],
  async run({ options }, context) {
    const { seeds, plan } = options;
    if (seeds !== undefined && plan !== undefined) {
      throw new UsageError('either --seeds or --plan, not both');
    }
    const storms = plan === undefined ? seedsOf(seeds ?? '1..100') : { planFile: plan };
    if (options.trace !== undefined && 'from' in storms && storms.from !== storms.to) {
      throw new UsageError('--trace goes with one seed or with --plan');
    }
    const { jobs, shrink, out, hash, json, trace } = options;
    // A failure may be found after minutes, and is not to be lost then.
    if (out !== undefined) requirePlace(context.files, out);
    const { main } = await context.program('storm');
    const { isTerminal } = context;
    return main({ storms, jobs, shrink, out, hash, json, trace, isTerminal }, context.write);
  },
});

/** "17" or "1..1000". */
function seedsOf(text: string): Readonly<{ from: number; to: number }> {
  const [, first, last] = /^(\d{1,9})(?:\.\.(\d{1,9}))?$/.exec(text) ?? [];
  const from = Number(first);
  const to = Number(last ?? first);
  if (first === undefined || to < from) {
    throw new UsageError(`--seeds is one seed or a range like 1..1000, not ${text}`);
  }
  return { from, to };
}
