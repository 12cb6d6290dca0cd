/** The real MQTT link against the embedded broker: what it drops, and how it comes back. */
import { afterEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { startBroker } from '../../../src/node/broker.ts';
import { connectLink } from '../../../src/node/link.ts';

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

async function broker(port = 0) {
  const running = await startBroker({ host: '127.0.0.1', port, bridgePassword: 'secret' });
  stops.push(running.close);
  return running;
}

function connect(url: string, topic: string, clientId = 'glasses-1') {
  const states: string[] = [];
  const heard: string[] = [];
  const link = connectLink(
    { url, clientId, password: 'secret', subscriptions: [{ topic, qos: 1 }] },
    {
      message: (at, payload) => void heard.push(`${at} ${new TextDecoder().decode(payload)}`),
      state: (state) => void states.push(state),
    },
  );
  stops.push(link.close);
  return { link, states, heard };
}

test('a refused subscription is tried again with pauses, not in a loop', async () => {
  const { url } = await broker();
  const { states } = connect(url, 'saytap/1/somebody-else/down/+');
  await pause(2_000);
  expect(states).not.toContain('up');
  expect(states.length).toBeGreaterThanOrEqual(1);
  expect(states.length).toBeLessThanOrEqual(8);
});

test('a client reads its own topics only and writes its own topics only', async () => {
  const { url } = await broker();
  const bridge = connect(url, 'saytap/1/+/up/+', 'bridge');
  const glasses = connect(url, 'saytap/1/glasses-1/down/+');
  await pause(300);
  bridge.link.publish('saytap/1/glasses-1/down/receipt', Uint8Array.of(0x61), 1);
  bridge.link.publish('saytap/1/kiosk-1/down/receipt', Uint8Array.of(0x62), 1);
  glasses.link.publish('saytap/1/glasses-1/up/request', Uint8Array.of(0x63), 1);
  await pause(300);
  expect(glasses.heard).toEqual(['saytap/1/glasses-1/down/receipt a']);
  expect(bridge.heard).toEqual(['saytap/1/glasses-1/up/request c']);

  glasses.link.publish('saytap/1/kiosk-1/up/order', Uint8Array.of(0x64), 1);
  await pause(300);
  expect(bridge.heard).toHaveLength(1);
});

test('what is published while the broker is away is dropped, not replayed', async () => {
  const first = await broker();
  const port = Number(new URL(first.url).port);
  const bridge = connect(first.url, 'saytap/1/+/up/+', 'bridge');
  const { link, states } = connect(first.url, 'saytap/1/glasses-1/down/+');
  await pause(300);
  await stops.shift()!();
  await pause(200);
  expect(states.at(-1)).toBe('down');
  link.publish('saytap/1/glasses-1/up/request', Uint8Array.of(0x61), 1);
  await broker(port);
  await pause(1_500);
  expect(states.at(-1)).toBe('up');
  expect(bridge.heard).toEqual([]);
  link.publish('saytap/1/glasses-1/up/request', Uint8Array.of(0x62), 1);
  await pause(300);
  expect(bridge.heard).toEqual(['saytap/1/glasses-1/up/request b']);
});

test('a URL that is none ends with one line', () => {
  expect(() => connect('http://127.0.0.1', 'x')).toThrow(/mqtt:\/\/host:1883/);
});

describe('what a device says of itself', () => {
  const TOPIC = 'saytap/1/glasses-1/state';
  const OWN = [{ topic: 'saytap/1/glasses-1/down/+', qos: 1 }] as const;

  /** A device whose will names its connection, counted from 1; `told` counts what was asked. */
  function device(url: string) {
    let connection = 0;
    const states: string[] = [];
    const will = () => ({ topic: TOPIC, payload: utf8(`gone ${++connection}`) });
    const link = connectLink(
      { url, clientId: 'glasses-1', subscriptions: OWN, will },
      { message: () => {}, state: (state) => void states.push(state) },
    );
    stops.push(link.close);
    const up = (count: number) =>
      expect
        .poll(() => states.filter((state) => state === 'up').length, { timeout: 10_000 })
        .toBe(count);
    return { link, up, birth: (text: string) => link.publish(TOPIC, utf8(text), 1, 'retain') };
  }

  const last = (heard: string[], text: string) =>
    expect.poll(() => heard.at(-1), { timeout: 10_000 }).toBe(`${TOPIC} ${text}`);

  test('is retained; each connection that breaks tells a will of its own', async () => {
    const { url } = await broker();
    const bridge = connect(url, 'saytap/1/+/state', 'bridge');
    const { link, up, birth } = device(url);
    await up(1);
    birth('here');
    await last(bridge.heard, 'here');
    const late = connect(url, 'saytap/1/+/state', 'bridge');
    await last(late.heard, 'here');

    link.renew();
    await last(late.heard, 'gone 1');
    await up(2);
    birth('here again');
    await last(late.heard, 'here again');
    link.renew();
    await last(late.heard, 'gone 2');
  });

  test('is the last word of a link that was closed: its will is taken back', async () => {
    const { url } = await broker();
    const bridge = connect(url, 'saytap/1/+/state', 'bridge');
    const { link, up, birth } = device(url);
    await up(1);
    birth('left');
    await link.close();
    await last(bridge.heard, 'left');
    await pause(300);
    expect(bridge.heard).toEqual([`${TOPIC} left`]);
  });

  test('is its own: nobody else writes it, and nothing else is retained', async () => {
    const { url } = await broker();
    const bridge = connect(url, 'saytap/1/#', 'bridge');
    const kiosk = connect(url, 'saytap/1/kiosk-1/down/+', 'kiosk-1');
    await expect.poll(() => kiosk.states.at(-1), { timeout: 10_000 }).toBe('up');
    kiosk.link.publish('saytap/1/kiosk-1/state', utf8('mine'), 1, 'retain');
    await expect.poll(() => bridge.heard).toEqual(['saytap/1/kiosk-1/state mine']);
    kiosk.link.publish(TOPIC, utf8('not mine'), 1, 'retain');
    await expect.poll(() => kiosk.states.filter((state) => state === 'down').length).toBe(1);
    await expect.poll(() => kiosk.states.at(-1), { timeout: 10_000 }).toBe('up');
    kiosk.link.publish('saytap/1/kiosk-1/up/request', utf8('kept'), 1, 'retain');
    await expect.poll(() => kiosk.states.filter((state) => state === 'down').length).toBe(2);
    expect(bridge.heard).toEqual(['saytap/1/kiosk-1/state mine']);
  });
});
