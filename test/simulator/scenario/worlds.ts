/** Plays scenarios in virtual time for tests. */
import { createDisks } from '../../../simulator/disk.ts';
import { requireScenario } from '../../../simulator/scenario.ts';
import { type Failure, play } from '../../../simulator/scenario/play.ts';
import { createVirtualStage } from '../../../simulator/scenario/virtual.ts';
import { type Trace, tracesIn } from '../../../simulator/trace.ts';
import { timers } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { hearUnhandled } from '../../../src/node/unhandled.ts';

const disks = createDisks(openDatabase);

export type Played = Readonly<{
  failures: readonly Failure[];
  /** Each step as it was told, with what the devices said. */
  told: readonly string[];
  traces: readonly Trace[];
  hash: string;
  /** Errors that no program should have thrown. */
  crashes: readonly string[];
}>;

/** Plays a scenario's text; the same text and seed come to the same. */
export async function playText(text: string, seed = '1'): Promise<Played> {
  const scenario = requireScenario(text, 'day.yaml');
  const ports = { turn: timers.soon, disks, hearUnhandled };
  const stage = await createVirtualStage(scenario.cast, seed, ports);
  try {
    const told: string[] = [];
    const failures = await play(scenario, stage, {
      note: (line) => void told.push(line),
      step: (at, line, says) => void told.push(`${at} ${line}`, ...says),
    });
    return {
      failures,
      told,
      traces: tracesIn(stage.observed, stage.world.site),
      hash: stage.world.hash(),
      crashes: stage.observed.flatMap((one) => (one.what === 'crash' ? [one.error] : [])),
    };
  } finally {
    await stage.end();
  }
}
