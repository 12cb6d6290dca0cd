/**
 * What cannot be done with real programs, found before any is started: what only a world can break,
 * and days for which nobody waits.
 */
import { FAULTS } from '../../broker/ledger/service.ts';
import { SCENARIO_REAL_MS_MAX } from '../../src/limits.ts';
import type { Scenario } from '../scenario.ts';
import { whileText } from './moment.ts';
import type { Fault } from './source.ts';
import type { Step } from './step.ts';
import type { Doing } from './verb.ts';

/** Every step that needs virtual time, with the reason. */
export function infeasible({ steps }: Scenario): readonly Fault[] {
  const faults: Fault[] = [];
  let nowMs = 0;
  for (const step of steps) {
    const beforeMs = nowMs;
    nowMs = Math.max(nowMs + step.waitMs, step.atMs ?? 0);
    if (nowMs > SCENARIO_REAL_MS_MAX && beforeMs <= SCENARIO_REAL_MS_MAX) {
      const most = whileText(SCENARIO_REAL_MS_MAX);
      faults.push({
        place: step.place,
        text: `here the day is ${whileText(nowMs)} old: real time lasts at most ${most}`,
      });
    }
    for (const doing of step.does) {
      const why = hindrance(step, doing);
      if (why !== undefined) faults.push({ place: doing.place, text: `${why}: only in a world` });
    }
  }
  return faults;
}

function hindrance({ actor }: Step, doing: Doing): string | undefined {
  const { kind, name } = actor!;
  switch (doing.does) {
    case 'kill':
    case 'start':
    case 'restart':
    case 'power':
      if (kind === 'bridge' && !(doing.does === 'power' && doing.calls !== undefined)) {
        return undefined;
      }
      return kind === 'bridge'
        ? 'the calls of a real bridge are not counted'
        : `${name} runs in this very process and is not stopped`;
    case 'disk':
      return 'a real disk is not broken on purpose';
    case 'clock':
      return 'a real clock is not set';
    case 'clone':
      return 'no disk is copied under a running program';
    case 'backup':
    case 'restore':
    case 'replace':
      return 'the bridge is not moved';
    case 'pin':
      return undefined;
    case 'trouble':
      return troubleHindrance(name, doing);
    default:
      return undefined;
  }
}

function troubleHindrance(
  at: string,
  { trouble, share, of }: Extract<Doing, { does: 'trouble' }>,
): string | undefined {
  if (at === 'network') {
    if (trouble !== 'cut') return `a real network does not ${trouble} as told`;
    const isDevice = of.every((one) => !['bridge', 'risk', 'ledger'].includes(one));
    return isDevice ? undefined : 'only the lines of devices are cut';
  }
  if (trouble === 'away') return at === 'broker' ? 'the broker is a part of the bridge' : undefined;
  if (at === 'ledger' && FAULTS.some((one) => one === trouble)) return undefined;
  if (at === 'risk' && share === 1 && (trouble === 'deny' || trouble === 'step-up')) {
    return undefined;
  }
  return `a real ${at} is not ${trouble} as told`;
}
