/**
 * Plays a scenario on a stage: does what its steps say, one after the other, and compares what is
 * expected with what people see, with the receipts that devices hold and with the ledger's books.
 *
 * It stops at the first step that goes otherwise: what comes after it was written for another day.
 */
import { OperatorError } from '../../src/errors.ts';
import { READY_MS, SCENARIO_BREATH_MS } from '../../src/limits.ts';
import type { Scenario } from '../scenario.ts';
import { localText, whileText } from './moment.ts';
import { Otherwise, type Result } from './result.ts';
import type { Place } from './source.ts';
import type { Stage } from './stage.ts';
import type { Step } from './step.ts';
import { createTroupe } from './troupe.ts';
import { createView } from './view.ts';
import { factText, stepText } from './words.ts';

/** What happened otherwise than told, and where that stands. */
export type Failure = Readonly<{ place: Place; text: string }>;

/** Told of everything while it is played. */
export type Watch = Readonly<{
  note: (text: string) => void;
  /** `at` is the wall clock of the day, "12:04:07"; `says` what came of it. */
  step: (at: string, text: string, says: readonly string[], failures: readonly Failure[]) => void;
}>;

/** Plays all steps; what went otherwise, empty when nothing did. */
export async function play(
  scenario: Scenario,
  stage: Stage,
  watch: Watch,
): Promise<readonly Failure[]> {
  const { cast, steps } = scenario;
  const results = new Map<string, Result>();
  /** What ends by itself, in true ms. */
  const ends: { atMs: number; run: () => Promise<void> }[] = [];

  /** As the stage's, and ends what is over by then. */
  async function until(isSo: () => boolean, ms: number): Promise<boolean> {
    const endMs = stage.nowMs() + ms;
    for (;;) {
      ends.sort((a, b) => a.atMs - b.atMs);
      const nextMs = Math.min(endMs, ends[0]?.atMs ?? Infinity);
      if (await stage.until(isSo, Math.max(0, nextMs - stage.nowMs()))) return true;
      while (ends[0] && ends[0].atMs <= stage.nowMs()) await ends.shift()!.run();
      if (stage.nowMs() >= endMs) return isSo();
    }
  }
  const wait = (ms: number) => until(() => false, ms);
  const over = (ms: number, run: () => Promise<void>) => {
    ends.push({ atMs: stage.nowMs() + ms, run });
  };
  const troupe = createTroupe({ cast, stage, results, until, over });
  const view = createView({ cast, stage, results, troupe });

  await requireReady();
  for (const step of steps) {
    if (step.note !== undefined) watch.note(step.note);
    await wait(step.waitMs);
    if (step.atMs !== undefined) await wait(Math.max(0, step.atMs - stage.nowMs()));
    const at = localText(cast.startMs + stage.nowMs(), cast.zone).slice(11);
    const failures = await playStep(step);
    const says = view.newsOf(step);
    const isSilent = !step.actor && step.expects.length === 0;
    if (!isSilent || step.waitMs > 0) watch.step(at, stepText(step, cast), says, failures);
    if (failures.length > 0) return failures;
  }
  return [];

  async function requireReady(): Promise<void> {
    const machines = [
      ...cast.people.flatMap(({ glasses }) => glasses ?? []),
      ...cast.kiosks.map(({ name }) => name),
      ...cast.agents.map(({ name }) => name),
    ];
    let waiting = machines.length;
    const heard = new Set<string>();
    const look = () => {
      for (const machine of machines) {
        const device = heard.has(machine) ? undefined : stage.device(machine);
        if (!device) continue;
        heard.add(machine);
        void device.ready().then(() => waiting--);
      }
      return waiting === 0;
    };
    if (await stage.until(look, READY_MS)) return;
    throw new OperatorError('address', 'the devices cannot reach the bridge');
  }

  async function playStep(step: Step): Promise<readonly Failure[]> {
    try {
      for (const doing of step.does) await troupe.perform(step, doing);
      if (step.does.length > 0 && step.expects.length === 0) await wait(SCENARIO_BREATH_MS);
    } catch (error) {
      if (!(error instanceof Otherwise)) throw error;
      return [{ place: error.place ?? step.place, text: error.message }];
    }
    const failures: Failure[] = [];
    for (const expected of step.expects) {
      let found = await view.look(expected);
      const endMs = stage.nowMs() + expected.withinMs;
      while (!found.isSo && !found.isForGood && stage.nowMs() < endMs) {
        // Time is a fraction, and what is left of it may be too little to change it.
        await wait(Math.min(LOOK_MS, Math.max(1, endMs - stage.nowMs())));
        found = await view.look(expected);
      }
      if (found.isSo) continue;
      const within = found.isForGood ? '' : ` within ${whileText(expected.withinMs)}`;
      const text = `expected that ${factText(expected, cast)}${within}, but ${found.is}`;
      failures.push({ place: expected.place, text });
    }
    return failures;
  }
}

/** How often it is looked whether something has come true. */
const LOOK_MS = 100;
