/**
 * A bad network between a device and its broker: a TCP proxy that knows MQTT's packets. It holds
 * them back, repeats those that a QoS 1 sender may repeat, and cuts connections, all by a seed.
 *
 * A repeated PUBLISH keeps its packet id and gets DUP set [MQTT-3.3.1-1], as after a lost
 * acknowledgement; packets of one direction are never reordered, because TCP does not.
 */
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { sleep } from '../broker/storm.ts';

export type Weather = Readonly<{
  url: string;
  /** What it did so far. */
  met: Readonly<{ connections: number; cuts: number; delays: number; repeats: number }>;
  /** From now on everything passes as it is. */
  calm: () => void;
  close: () => Promise<void>;
}>;

/** How often in a thousand packets. */
const CUT = 15;
const REPEAT = 150;
const LONG = 30;
const DELAY_MS = 25;
const LONG_MS = 1_500;

export async function startWeather(
  target: number,
  next: (below: number) => number,
): Promise<Weather> {
  const met = { connections: 0, cuts: 0, delays: 0, repeats: 0 };
  const open = new Set<Socket>();
  let isCalm = false;

  const server = createServer({ noDelay: true }, (near) => {
    met.connections++;
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    const cut = () => [near, far].forEach((socket) => socket.destroy());
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', cut);
      from.on('close', () => {
        open.delete(from);
        cut();
      });
      let rest = Buffer.alloc(0);
      let before = Promise.resolve();
      from.on('data', (part: Buffer) => {
        rest = Buffer.concat([rest, part]);
        for (let end = packetEnd(rest); end !== undefined; end = packetEnd(rest)) {
          const packet = rest.subarray(0, end);
          rest = rest.subarray(end);
          before = before.then(() => pass(packet, to, cut));
        }
      });
    }
  });

  async function pass(packet: Buffer, to: Socket, cut: () => void): Promise<void> {
    if (!isCalm) {
      if (next(1000) < CUT) {
        met.cuts++;
        // Sometimes in the middle of a packet.
        if (next(2) === 0) to.write(packet.subarray(0, next(packet.length)));
        await sleep(1);
        return cut();
      }
      const isLong = next(1000) < LONG;
      if (isLong) met.delays++;
      await sleep(next(isLong ? LONG_MS : DELAY_MS));
    }
    if (to.destroyed) return;
    to.write(packet);
    if (isCalm || !isRepeatable(packet) || next(1000) >= REPEAT) return;
    met.repeats++;
    const again = Buffer.from(packet);
    again[0]! |= DUP;
    await sleep(next(DELAY_MS));
    if (!to.destroyed) to.write(again);
  }

  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    met,
    calm: () => void (isCalm = true),
    close: () =>
      new Promise((done) => {
        for (const socket of open) socket.destroy();
        server.close(() => done());
      }),
  };
}

const DUP = 0x08;

/** Where the first packet of these bytes ends (MQTT 3.1.1 §2.2), undefined when it is not whole. */
function packetEnd(bytes: Buffer): number | undefined {
  let length = 0;
  for (let at = 1; at < 5; at++) {
    const digit = bytes[at];
    if (digit === undefined) return undefined;
    length += (digit & 0x7f) * 128 ** (at - 1);
    if (digit < 0x80) return bytes.length < at + 1 + length ? undefined : at + 1 + length;
  }
  throw new Error('not MQTT');
}

/** A PUBLISH of QoS 1. */
function isRepeatable(packet: Buffer): boolean {
  return packet[0]! >> 4 === 3 && (packet[0]! & 0x06) === 0x02;
}
