/** `saytap fleet`: what this machine carries, found out by a made-up site under load. */
import { UsageError, defineCommand } from '../command.ts';
import {
  FLEET_DEVICES_MAX,
  FLEET_RATE_MAX,
  FLEET_SECONDS_MAX,
  FLEET_WORKERS_MAX,
} from '../limits.ts';

const SHAPES = ['constant', 'ramp', 'step', 'spike', 'day'] as const;

export const command = defineCommand({
  summary: 'thousands of devices on a schedule, and what a machine carries',
  about:
    'Makes a site of its own in a temporary folder: a broker (Mosquitto where it is installed), ' +
    'a bridge with its risk service and ledger, and devices that each have a key, a mandate and ' +
    'a connection. They pay when the schedule says, whatever the answers do, and each payment is ' +
    'timed from when it was due. At the end the books are read: ends with 0 when every payment ' +
    'was paid once and the rate was carried, 1 when it was not, 8 when money went wrong, 130 ' +
    'when Ctrl-C ended it (with a report of what there is). An existing bridge is never used. No ' +
    'real money moves.',
  options: {
    devices: {
      value: 'N',
      whole: [1, FLEET_DEVICES_MAX],
      says: 'connected devices (without it 1,000)',
    },
    rate: {
      value: 'N',
      whole: [1, FLEET_RATE_MAX],
      says: 'payments a second at the most (without it 100)',
    },
    for: {
      value: 'SECONDS',
      whole: [1, FLEET_SECONDS_MAX],
      says: 'length of the load (without it 60)',
    },
    'warm-up': {
      value: 'SECONDS',
      whole: [0, 600],
      says: 'rise to it before, paid but not measured (without it 10)',
    },
    profile: {
      value: 'SHAPE',
      choices: SHAPES,
      says: 'even, rising, in four steps, one rush, or the 24 hours of a day in this time',
    },
    arrivals: {
      value: 'HOW',
      choices: ['random', 'even'],
      says: 'as independent people come, or as a metronome',
    },
    seed: { value: 'TEXT', says: 'the same arrivals again' },
    workers: {
      value: 'N',
      whole: [1, FLEET_WORKERS_MAX],
      says: 'processes that hold the devices (without it half the processors)',
    },
    broker: {
      value: 'WHICH',
      choices: ['mosquitto', 'embedded'],
      says: 'which broker (without it Mosquitto where it is installed)',
    },
    'verify-each': {
      value: 'N',
      whole: [1, 1_000_000],
      says: 'verify every n-th receipt only, the others are read (without it all)',
    },
    p99: {
      value: 'MS',
      whole: [1, 3_600_000],
      says: 'fail when the 99th percentile is above',
    },
    report: { value: 'FILE', says: 'where the report is written (without it fleet.html)' },
    worker: { says: 'is one of the processes that hold the devices, for the command itself' },
  },
  examples: [
    'fleet',
    'fleet --devices 5000 --rate 1200 --for 120',
    'fleet --profile ramp --rate 2000 --for 300 --report ramp.html',
    'fleet --profile day --rate 500 --for 240 --p99 250',
  ],
  async run({ options }, context) {
    const { main, work } = await context.program('fleet');
    if (options.worker) return work();
    const report = options.report ?? 'fleet.html';
    if (!report.endsWith('.html')) throw new UsageError('--report is a file like fleet.html');
    return main(
      {
        devices: options.devices ?? 1_000,
        rate: options.rate ?? 100,
        seconds: options.for ?? 60,
        warmUpS: options['warm-up'] ?? 10,
        shape: options.profile ?? 'constant',
        arrivals: options.arrivals ?? 'random',
        ...{ seed: options.seed, workers: options.workers, broker: options.broker, report },
        verifyEach: options['verify-each'] ?? 1,
        p99Ms: options.p99,
        isTerminal: context.isTerminal,
      },
      context.write,
    );
  },
});
