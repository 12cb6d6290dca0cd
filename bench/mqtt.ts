/**
 * End to end on loopback: a device signs, MQTT carries, the bridge asks the risk service and the
 * ledger over HTTP, and the device has verified the receipt. All real programs; open loop, so a
 * slow answer does not make the next request wait.
 */
import { random, timers } from '../src/node/platform.ts';
import { connectLink } from '../src/node/link.ts';
import { identify } from '../src/cose.ts';
import { open, seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { row } from './table.ts';
import { type Plant, REALM, makePlant, sign } from './plant.ts';

export async function measureMqtt(write: (line: string) => void): Promise<void> {
  const plant = await makePlant(20, true);
  try {
    const heads = ['asked/s', 'answered/s', 'p50 ms', 'p99 ms', 'lost'];
    write(`\n${row('End to end by MQTT, open loop', 32, ...heads)}`);
    const devices = await connectAll(plant);
    await load(plant, devices, 50, 2);
    for (const rate of [100, 300, 1_000]) {
      const { answered, p50, p99, lost } = await load(plant, devices, rate, 10);
      const cells = [rate, answered.toFixed(0), p50.toFixed(1), p99.toFixed(1), lost];
      write(row('embedded broker, risk, ledger', 32, ...cells));
    }
    for (const { link } of devices) await link.close();
  } finally {
    await plant.stop();
  }
}

type Connected = { link: ReturnType<typeof connectLink>; nonce: Uint8Array; counter: number };
const waiting = new Map<string, () => void>();

async function connectAll(plant: Plant): Promise<Connected[]> {
  return Promise.all(
    plant.payers.map(
      (payer) =>
        new Promise<Connected>((ready) => {
          const device: Connected = { nonce: new Uint8Array(8), counter: 0, link: undefined! };
          device.link = connectLink(
            {
              url: plant.mqttUrl,
              clientId: payer.name,
              subscriptions: [
                { topic: `saytap/1/${payer.name}/down/+`, qos: 1 },
                { topic: `saytap/1/${REALM.ledger}/tick`, qos: 0 },
              ],
            },
            {
              message(topic, payload) {
                if (topic.endsWith('/tick')) {
                  device.nonce = open(
                    tickKind,
                    payload,
                    REALM,
                    () => plant.bridgeKey.key,
                  ).value.nonce;
                  return ready(device);
                }
                const { value } = open(receiptKind, payload, REALM, () => plant.bridgeKey.key);
                waiting.get(value.subject)?.();
              },
              async state(state) {
                if (state !== 'up') return;
                device.link.publish(`saytap/1/${payer.name}/up/mandate`, payer.mandateEnvelope, 1);
                const boot = { question: 'boot', echo: random(16) } as const;
                const envelope = await seal(queryKind, boot, REALM, payer.signer);
                timers.after(500, () =>
                  device.link.publish(`saytap/1/${payer.name}/up/query`, envelope, 1),
                );
              },
            },
          );
        }),
    ),
  );
}

async function load(plant: Plant, devices: Connected[], rate: number, seconds: number) {
  const times: number[] = [];
  const count = rate * seconds;
  const start = performance.now();
  let asked = 0;
  await new Promise<void>((done) => {
    const step = () => {
      const due = Math.min(count, Math.floor(((performance.now() - start) / 1000) * rate) + 1);
      for (; asked < due; asked++) void ask(asked, start + (asked / rate) * 1000);
      if (asked >= count) return void timers.after(3_000, done);
      timers.after(1, step);
    };
    step();
  });
  /** Timed from when it was due, so that a late start counts (no coordinated omission). */
  async function ask(i: number, dueAt: number): Promise<void> {
    const payer = plant.payers[i % plant.payers.length]!;
    const device = devices[i % devices.length]!;
    const envelope = await sign(payer, ++device.counter, device.nonce);
    const { id } = identify(envelope, REALM, 'request');
    waiting.set(id, () => {
      times.push(performance.now() - dueAt);
      waiting.delete(id);
    });
    device.link.publish(`saytap/1/${payer.name}/up/request`, envelope, 1);
  }
  times.sort((a, b) => a - b);
  const lost = waiting.size;
  waiting.clear();
  return {
    answered: times.length / seconds,
    p50: times[Math.floor(times.length * 0.5)] ?? NaN,
    p99: times[Math.floor(times.length * 0.99)] ?? NaN,
    lost,
  };
}
