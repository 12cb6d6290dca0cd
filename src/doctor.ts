/**
 * What `saytap doctor` finds: one finding per check, and for what is wrong what to do about it.
 *
 * A check looks and changes nothing, all of them run whatever becomes of the others, and each has a
 * limit of time: a doctor is called when something already hangs. What a failed check throws is its
 * finding, because the messages of this project say what to do.
 */
import { DOCTOR_CHECK_MS, DOCTOR_DAYS_MIN } from './limits.ts';
import { within } from './patience.ts';
import type { Timers } from './platform.ts';
import { utc } from './sentences.ts';

export type Verdict = Readonly<{
  /** `not checked`: not needed here, or not to be seen from here; never a failure. */
  state: 'ok' | 'wrong' | 'not checked';
  says: string;
  /** What a person does about it. */
  fix?: string;
}>;
export type Finding = Readonly<{ check: string }> & Verdict;

export type Check = Readonly<{ name: string; run: () => Verdict | Promise<Verdict> }>;

export function ok(says: string): Verdict {
  return { state: 'ok', says };
}

export function wrong(says: string, fix?: string): Verdict {
  return { state: 'wrong', says, ...(fix !== undefined && { fix }) };
}

export function unchecked(says: string): Verdict {
  return { state: 'not checked', says };
}

/** Runs every check, side by side; the findings come in the order of the checks. */
export function examine(checks: readonly Check[], timers: Timers): Promise<readonly Finding[]> {
  return Promise.all(
    checks.map(async ({ name, run }) => {
      // A turn later, so that what the first one blocks is not counted against the last one.
      await new Promise<void>((next) => timers.soon(next));
      const verdict = await within(timers, DOCTOR_CHECK_MS, attempt(run));
      return { check: name, ...(verdict ?? wrong(`no answer in ${DOCTOR_CHECK_MS / 1000} s`)) };
    }),
  );
}

/** The findings for a person, two lines for what is wrong; in colours where they can be shown. */
export function findingLines(findings: readonly Finding[], isColoured: boolean): readonly string[] {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings.flatMap(({ state, check, says, fix }) => {
    const word = state.padEnd(WORD);
    const head = isColoured ? `\u001b[${COLOURS[state]}m${word}\u001b[0m` : word;
    const line = `${head}  ${check.padEnd(width)}  ${says}`;
    return fix === undefined ? [line] : [line, `${' '.repeat(WORD + width + 4)}→ ${fix}`];
  });
}

/** Whether something that holds from `fromS` until before `untilS` holds now, and for how long. */
export function validity(
  what: string,
  [fromS, untilS]: readonly [fromS: number, untilS: number],
  nowMs: number,
  fix: string,
): Verdict {
  if (nowMs < fromS * 1000) {
    return wrong(
      `${what} begins only ${utc(fromS)}`,
      'set the clock of this machine, if it is wrong',
    );
  }
  const days = Math.floor((untilS * 1000 - nowMs) / 86_400_000);
  if (nowMs >= untilS * 1000) return wrong(`${what} ended ${utc(untilS)}`, fix);
  if (days < DOCTOR_DAYS_MIN) return wrong(`${what} ends ${utc(untilS)}, in ${days} days`, fix);
  return ok(`${what} holds until ${utc(untilS)}, ${days} days`);
}

/** The worst of several verdicts on one thing, which tells of all that are like it. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  const state =
    (['wrong', 'ok'] as const).find((one) => verdicts.some(({ state }) => state === one)) ??
    'not checked';
  const told = verdicts.filter((one) => one.state === state);
  const fixes = [...new Set(told.flatMap(({ fix }) => fix ?? []))];
  return {
    state,
    says: told.map(({ says }) => says).join('; '),
    ...(fixes.length > 0 && { fix: fixes.join('; ') }),
  };
}

const WORD = 'not checked'.length;
const COLOURS = Object.freeze({ ok: 32, wrong: 31, 'not checked': 2 });

async function attempt(run: Check['run']): Promise<Verdict> {
  try {
    return await run();
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
}
