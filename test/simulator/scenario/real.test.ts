// The same scenarios on real programs: processes, ports, files and time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createChance } from '../../../simulator/chance.ts';
import { readScenario, requireScenario } from '../../../simulator/scenario.ts';
import { infeasible } from '../../../simulator/scenario/feasible.ts';
import { play } from '../../../simulator/scenario/play.ts';
import { createRealStage } from '../../../simulator/scenario/real.ts';
import { tracesIn } from '../../../simulator/trace.ts';
import { replay } from '../../../simulator/trace/replay.ts';
import { archive } from '../../../src/node/archive.ts';
import { startChild } from '../../../src/node/child.ts';
import { createHttp } from '../../../src/node/http.ts';
import { connectLink } from '../../../src/node/link.ts';
import { clock, files, machine, random, timers } from '../../../src/node/platform.ts';
import { askSocket } from '../../../src/node/socket.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { makeTemporary } from '../../../src/node/temporary.ts';
import { codeWasm } from '../../../src/node/wasm.ts';

const ROOT = join(import.meta.dirname, '../../..');
const shipped = (name: string) =>
  readFileSync(join(ROOT, `simulator/scenarios/${name}.yaml`), 'utf8');

async function playReal(text: string) {
  const { folder, remove } = makeTemporary();
  onTestFinished(remove);
  const { http, close } = createHttp();
  onTestFinished(close);
  const scenario = requireScenario(text, 'day.yaml');
  const stage = await createRealStage(scenario.cast, createChance('real'), folder, {
    ...{ clock, timers, random, files, archive, openDatabase, codeWasm, http },
    connect: connectLink,
    log: () => {},
    machine: machine(),
    run: (program, config) => startChild(join(ROOT, 'src/cli.ts'), [program, '--config', config]),
    ask: askSocket,
  });
  onTestFinished(stage.end);
  const failures = await play(scenario, stage, { note: () => {}, step: () => {} });
  return { failures, traces: tracesIn(stage.observed, stage.site) };
}

const KILLED = `
scenario: The bridge is killed
site: { people: { wang: , li: { tags: [till] } }, policy: { 50: P1, 1000: P2 } }
steps:
  - wang: { say: pay 12 yuan to Luckin Coffee, confirm: by voice }
    expect: paid
  - wang: { say: pay 20 yuan to Luckin Coffee, confirm: by voice }
    as: late
  - bridge: kill
    for: 1s
  - expect: { online: { wang: no }, within: 30s }
  - expect: { late: paid, online: { wang: yes, till: yes }, within: 1m }
  - network: { cut: [till] }
  - till: { bill: 9.00 }
  - li: { tap: till }
    expect: { not sent: offline_not_allowed }
  - network: mend
  - expect: { online: { till: yes }, within: 1m }
  - operator: { revoke: li-glasses }
  - li: { say: pay 5 yuan to Luckin Coffee, confirm: by voice }
    as: gone
  - expect: { ledger: { wang: 968.00, li: 1000.00, luckin: 32.00 } }
`;

describe('on real programs', () => {
  test('one order, two people, who look at a picture of its code', async () => {
    const { failures, traces } = await playReal(shipped('one-order-two-people'));
    expect(failures).toEqual([]);
    expect(traces).toHaveLength(2);
    for (const trace of traces) {
      const { verdicts } = await replay(trace, { turn: timers.soon, openDatabase });
      expect(verdicts.filter(({ isSame }) => !isSame)).toEqual([]);
      expect(verdicts.length).toBeGreaterThanOrEqual(2);
    }
  }, 120_000);

  test('a risk service that comes back with a doubt', async () => {
    expect((await playReal(shipped('step-up-by-risk'))).failures).toEqual([]);
  }, 120_000);

  test('a PIN that is installed in real glasses', async () => {
    expect((await playReal(shipped('step-up-to-a-pin'))).failures).toEqual([]);
  }, 120_000);

  test('a bridge that is killed under a payment, and a line that is cut', async () => {
    expect((await playReal(KILLED)).failures).toEqual([]);
  }, 180_000);
});

describe('what only a world can do is refused with its line', () => {
  const refused = (steps: string) => {
    const read = readScenario(`scenario: x\nsite: { people: [wang] }\nsteps:\n${steps}`);
    if ('faults' in read) throw new Error(read.faults.map(({ text }) => text).join());
    return infeasible(read.scenario).map(
      ({ place, text }) => `${place.line}:${place.column} ${text}`,
    );
  };

  test.each([
    ['  - till: { disk: full }', '4:13 a real disk is not broken on purpose: only in a world'],
    ['  - till: { clock: -2h }', '4:13 a real clock is not set: only in a world'],
    ['  - wang-glasses: kill', '4:19 wang-glasses runs in this very process and is not stopped'],
    ['  - bridge: { power: cut after 3 calls }', '4:15 the calls of a real bridge are not counted'],
    ['  - bridge: backup', '4:13 the bridge is not moved'],
    ['  - network: { lose: { share: 30% } }', '4:16 a real network does not lose as told'],
    ['  - network: { cut: [ledger] }', '4:16 only the lines of devices are cut'],
    ['  - risk: slow', '4:11 a real risk is not slow as told'],
    ['  - ledger: garbage', '4:13 a real ledger is not garbage as told'],
    ['  - broker: away', '4:13 the broker is a part of the bridge'],
    ['  - wait: 4m\n  - wait: 2m', '5:5 here the day is 6 min old: real time lasts at most 5 min'],
  ])('%s', (steps, says) => {
    const all = refused(steps);
    expect(all).toHaveLength(1);
    expect(all[0]).toContain(says);
  });

  test('and nothing else is', () => {
    const steps = [
      '  - bridge: kill\n    for: 2s',
      '  - network: cut\n    for: 2s',
      '  - ledger: { loseAfter: 50% }',
      '  - risk: deny',
      '  - ledger: away',
      '  - operator: { revoke: till }',
      '  - wang: { revoke: everything }',
    ];
    expect(refused(steps.join('\n'))).toEqual([]);
  });
});
