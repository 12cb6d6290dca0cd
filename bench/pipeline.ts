/**
 * The whole bridge at full durability beside the floor of the same run: what verdicts, windows,
 * evidence and a run's steps cost on top of what nobody can do without.
 */
import { toHex } from '../src/bytes.ts';
import { startBroker } from '../src/node/broker.ts';
import { random } from '../src/node/platform.ts';
import { type Measured, startMeasured } from './child.ts';
import { type Devices, connectDevices } from './devices.ts';
import { type Cost, type Side, DEVICES, IN_FLIGHT, asksOf, costsOf, withFloor } from './floor.ts';
import type { BridgeOptions } from './measured/bridge.ts';
import { type Plant, makePlant, settingOf } from './plant.ts';
import { goalRow, row } from './table.ts';

export async function measurePipeline(write: (line: string) => void): Promise<void> {
  const heads = ['CPU µs each', 'payments/s', 'p50 ms', 'p99 ms'];
  write(`\n${row('Bridge at full durability', 32, ...heads)}`);
  const tell = (title: string, { cpuUs, rate, p50, p99 }: Cost) =>
    write(row(title, 32, cpuUs.toFixed(0), rate.toFixed(0), p50.toFixed(2), p99.toFixed(2)));
  const alone = async (inFlight: number, count: number, isWhole = false) =>
    withBridge(
      { isWhole },
      async (running) => (await costsOf([await sideOf(running, inFlight, count)]))[0]!,
    );

  const one = await alone(1, 1_000);
  tell('1 in flight', one);
  tell('50 in flight', await alone(50, 6_000));
  const [floor, bridge] = await withFloor((bare) =>
    withBridge({}, async (running) =>
      costsOf([bare, await sideOf(running, IN_FLIGHT, bare.asks.length)]),
    ),
  );
  tell(`${IN_FLIGHT} in flight`, bridge!);
  tell(`the floor, ${IN_FLIGHT} in flight`, floor!);
  const whole = await alone(IN_FLIGHT, 6_000, true);
  tell(`${IN_FLIGHT}, and risk and ledger`, whole);
  write(`  group commit: ${IN_FLIGHT} in flight ÷ 1 = ${(bridge!.rate / one.rate).toFixed(1)}`);
  write(`\n${row('Bridge ÷ floor', 48, 'goal', 'figure')}`);
  const ratio = bridge!.cpuUs / floor!.cpuUs;
  write(goalRow(`CPU, ${IN_FLIGHT} in flight`, 2.5, ratio, 'SQL of the store'));
  const all = whole.cpuUs / floor!.cpuUs;
  write(goalRow('with the real risk and ledger in process', 2.5, all, 'two more databases'));
}

async function sideOf(running: Running, inFlight: number, count: number): Promise<Side> {
  const { plant, program, devices } = running;
  return { program, devices, asks: await asksOf(plant, count, program.said.nonce), inFlight };
}

type Running = Readonly<{
  plant: Plant;
  program: Measured<{ nonce: Uint8Array }>;
  devices: Devices;
}>;

/** A bridge in a process of its own with a broker and devices in this one, for as long as `use`. */
export async function withBridge<T>(
  options: Partial<Omit<BridgeOptions, 'setting'>>,
  use: (running: Running) => Promise<T>,
): Promise<T> {
  const plant = await makePlant(DEVICES, false);
  const password = toHex(random(16));
  const broker = await startBroker({ host: '127.0.0.1', port: 0, bridgePassword: password });
  const setting = settingOf(plant, { url: broker.url, password });
  const plain = { riskMs: 0, slowMs: 0, isLoopOnly: false, isWhole: false };
  const all: BridgeOptions = { setting, ...plain, ...options };
  const program = await startMeasured<{ nonce: Uint8Array }>('bridge', all);
  const devices = await connectDevices(broker.url, plant);
  try {
    return await use({ plant, program, devices });
  } finally {
    await devices.close();
    await program.stop();
    await broker.close();
    await plant.stop();
  }
}
