/**
 * Looks at the processes of a run while it goes: a glance at each main thread many times a second,
 * and what the system has counted once an interval.
 */
import type { MachineUse, ProcessUse } from '../../src/platform.ts';
import { type Look, type Machine, type Use, machineBetween, useBetween } from './usage.ts';

export type Eyes = Readonly<{
  processUse: (pid: number) => ProcessUse | undefined;
  isAtDisk: (pid: number) => boolean;
  machineUse: () => MachineUse | undefined;
  processors: number;
}>;

/** A process and what people call it; several of one name are told apart by a number. */
export type Watched = Readonly<{ name: string; pid: number }>;

export type Watch = Readonly<{
  /** To be called every FLEET_LOOK_MS. */
  glance: () => void;
  /** What they did since the last time, which is `ms` ago. */
  look: (ms: number) => Readonly<{ uses: readonly Use[]; machine: Machine | undefined }>;
}>;

export function createWatch(watched: readonly Watched[], eyes: Eyes): Watch {
  let looks = 0;
  const atDisk = new Map<number, number>();
  const lookAt = ({ pid }: Watched): Look => ({
    use: eyes.processUse(pid),
    ...{ atDisk: atDisk.get(pid) ?? 0, looks },
  });
  let before = watched.map(lookAt);
  let machineBefore = eyes.machineUse();
  return {
    glance() {
      looks++;
      for (const { pid } of watched) {
        if (eyes.isAtDisk(pid)) atDisk.set(pid, (atDisk.get(pid) ?? 0) + 1);
      }
    },
    look(ms) {
      const now = watched.map(lookAt);
      const machineNow = eyes.machineUse();
      const uses = watched.flatMap(({ name }, at) => {
        const use = useBetween(name, before[at]!, now[at]!, ms);
        return use ? [use] : [];
      });
      const machine = machineBetween(machineBefore, machineNow, uses, eyes.processors);
      before = now;
      machineBefore = machineNow;
      looks = 0;
      atDisk.clear();
      return { uses, machine };
    },
  };
}
