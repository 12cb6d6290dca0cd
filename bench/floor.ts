/**
 * The floor of one payment: what the bridge's process pays at least, whoever writes it. One ES256
 * request by MQTT verified and decoded, two durable commits shared by all that wait, one receipt
 * signed and sent. Nothing is judged, no money moved. Everything else is compared with this figure
 * of the same run.
 */
import { toHex } from '../src/bytes.ts';
import { identify } from '../src/cose.ts';
import { startBroker } from '../src/node/broker.ts';
import { random } from '../src/node/platform.ts';
import { type Measured, startMeasured } from './child.ts';
import { type Ask, type Devices, connectDevices, quantile } from './devices.ts';
import { type Plant, REALM, keysOf, makePlant, sign } from './plant.ts';
import { row } from './table.ts';

/** Devices, and payments that are under way at any time. */
export const DEVICES = 50;
export const IN_FLIGHT = 200;
const PAYMENTS = 14_000;
const BATCHES = 3;

/** What a batch of payments cost the measured process. */
export type Cost = Readonly<{ cpuUs: number; rate: number; p50: number; p99: number }>;

export async function measureFloor(write: (line: string) => void): Promise<void> {
  const heads = ['CPU µs each', 'payments/s', 'p50 ms'];
  write(`\n${row(`Floor of one payment, ${IN_FLIGHT} in flight`, 44, ...heads)}`);
  await withFloor(async (floor) => {
    const [{ cpuUs, rate, p50 }] = (await costsOf([floor])) as [Cost];
    const cells = [cpuUs.toFixed(0), rate.toFixed(0), p50.toFixed(1)];
    write(row('verify, 2 durable commits, sign, MQTT', 44, ...cells));
  });
}

/** Something measured: a program, who loads it, and with what. */
export type Side = Readonly<{
  program: Pick<Measured<unknown>, 'cpuUs'>;
  devices: Pick<Devices, 'saturate'>;
  asks: readonly Ask[];
  inFlight: number;
}>;

/** The floor ready to be measured, for as long as `use`. */
export async function withFloor<T>(use: (floor: Side) => Promise<T>): Promise<T> {
  const plant = await makePlant(DEVICES, false);
  const password = toHex(random(16));
  const broker = await startBroker({ host: '127.0.0.1', port: 0, bridgePassword: password });
  const program = await startMeasured<unknown>('edge', {
    broker: { url: broker.url, password },
    store: `${plant.folder}/floor.db`,
    ...keysOf(plant),
  });
  const devices = await connectDevices(broker.url, plant);
  try {
    const asks = await asksOf(plant, PAYMENTS);
    return await use({ program, devices, asks, inFlight: IN_FLIGHT });
  } finally {
    await devices.close();
    await program.stop();
    await broker.close();
    await plant.stop();
  }
}

/**
 * After a warm-up, the cheapest of a few batches of each side: what the work costs undisturbed. The
 * sides take turns, so that whatever else the machine does meets all of them alike.
 */
export async function costsOf(sides: readonly Side[]): Promise<Cost[]> {
  const best: Cost[] = [];
  for (let batch = 0; batch <= BATCHES; batch++) {
    for (const [i, { program, devices, asks, inFlight }] of sides.entries()) {
      const size = Math.floor(asks.length / (BATCHES + 1));
      const part = asks.slice(batch * size, (batch + 1) * size);
      const cpu = await program.cpuUs();
      const start = performance.now();
      const times = await devices.saturate(part, inFlight);
      const seconds = (performance.now() - start) / 1000;
      const cost = {
        cpuUs: ((await program.cpuUs()) - cpu) / part.length,
        rate: part.length / seconds,
        p50: quantile(times, 0.5),
        p99: quantile(times, 0.99),
      };
      if (batch > 0 && (batch === 1 || cost.cpuUs < best[i]!.cpuUs)) best[i] = cost;
    }
  }
  return best;
}

/** Signs `count` requests, in turn by every payer, each with its next counter. */
export async function asksOf(
  plant: Plant,
  count: number,
  nonce: Uint8Array = new Uint8Array(8),
): Promise<Ask[]> {
  const asks: Ask[] = [];
  for (let i = 0; i < count; i++) {
    const payer = plant.payers[i % plant.payers.length]!;
    const envelope = await sign(payer, Math.floor(i / plant.payers.length) + 1, nonce);
    asks.push({ device: payer.name, envelope, ...identify(envelope, REALM, 'request') });
  }
  return asks;
}
