/** The whole bridge as a measured program, on a disk that is as it is, or slow in a known way. */
import { type Disk, realDisk } from '../../src/node/durability.ts';
import { runBridge } from '../bridge.ts';
import { serveMeasured } from '../child.ts';
import type { BridgeSetting } from '../plant.ts';

export type BridgeOptions = Readonly<{
  setting: BridgeSetting;
  riskMs: number;
  /** How much longer each sync takes than it does; 0 is the disk as it is. */
  slowMs: number;
  /** The loop waits for every sync, however long, as it would without workers. */
  isLoopOnly: boolean;
  /** With the real risk service and ledger in the process; else they answer at once. */
  isWhole: boolean;
}>;

serveMeasured<BridgeOptions, { nonce: Uint8Array }>(async (options) => {
  const disk = slower(realDisk, options.slowMs);
  const chosen = options.isLoopOnly
    ? { ...disk, sync: async (file: number) => disk.syncNow(file) }
    : disk;
  const bridge = await runBridge(options.setting, chosen, options.riskMs, options.isWhole);
  return {
    said: { nonce: bridge.nonce },
    figures: () => ({ commitsMs: bridge.commitsMs() }),
    stop: bridge.stop,
  };
});

function slower(disk: Disk, ms: number): Disk {
  if (ms === 0) return disk;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  return {
    syncNow(file) {
      disk.syncNow(file);
      Atomics.wait(sleeper, 0, 0, ms);
    },
    async sync(file) {
      await disk.sync(file);
      await new Promise((done) => setTimeout(done, ms));
    },
  };
}
