/** Links of a world: what the real link and broker do, and what a bad network adds. */
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { createNetwork } from '../../simulator/network.ts';
import { createTimeline } from '../../simulator/time.ts';
import { utf8 } from '../../src/bytes.ts';
import { MQTT_KEEPALIVE_S, MQTT_RECONNECT_MS } from '../../src/limits.ts';
import { startBroker } from '../../src/node/broker.ts';
import { connectLink } from '../../src/node/link.ts';
import { timers } from '../../src/node/platform.ts';
import type { Connect } from '../../src/platform.ts';

const UP = 'saytap/1/glasses-1/up/request';
const DOWN = 'saytap/1/glasses-1/down/receipt';
const STATE = 'saytap/1/glasses-1/state';

/** One of the two: connects by name, and waits until something is so. */
type Site = Readonly<{
  connect: (host: string) => Connect;
  url: string;
  until: (isSo: () => boolean) => Promise<void>;
}>;

function createSite(seed = 'links') {
  const timeline = createTimeline(timers.soon);
  const network = createNetwork({ chance: createChance(seed), timeline, bridgePassword: 'secret' });
  const dead = new Set<string>();
  const host = (name: string) => {
    dead.delete(name);
    return network.attach(name, {
      isDead: () => dead.has(name),
      callback:
        (run) =>
        (...given) => {
          if (!dead.has(name)) run(...given);
        },
    });
  };
  return {
    timeline,
    network,
    host,
    url: 'mqtt://broker:1883',
    connect: (name: string) => host(name).connect,
    end(name: string, how: 'killed' | 'power cut') {
      dead.add(name);
      network.end(name, how);
    },
    async until(isSo: () => boolean) {
      for (let ms = 0; !isSo() && ms < 120_000; ms += 5) await timeline.run(timeline.nowMs() + 5);
      expect(isSo()).toBe(true);
    },
    wait: (ms: number) => timeline.run(timeline.nowMs() + ms),
  };
}

function client({ connect, url }: Site, clientId: string, topic: string, hasWill?: 'will') {
  const heard: string[] = [];
  const states: string[] = [];
  let wills = 0;
  const link = connect(clientId)(
    {
      url,
      clientId: clientId.split(' ')[0]!,
      password: 'secret',
      subscriptions: [{ topic, qos: 1 }],
      ...(hasWill && {
        will: () => ({ topic: STATE, payload: utf8(`${clientId} gone ${++wills}`) }),
      }),
    },
    {
      message: (at, payload) => void heard.push(`${at} ${new TextDecoder().decode(payload)}`),
      state: (state) => void states.push(state),
    },
  );
  const say = (at: string, text: string, retain?: 'retain') =>
    link.publish(at, utf8(text), 1, retain);
  return { link, heard, states, say, isUp: () => states.at(-1) === 'up' };
}

/** Time has to go on for a link to be closed. */
async function closed(site: Site, { link }: ReturnType<typeof client>): Promise<void> {
  let isClosed = false;
  void link.close().then(() => (isClosed = true));
  await site.until(() => isClosed);
}

const bridgeOf = (site: Site, topic = 'saytap/1/+/up/+') => client(site, 'bridge', topic);
const deviceOf = (site: Site, hasWill?: 'will') =>
  client(site, 'glasses-1', 'saytap/1/glasses-1/down/+', hasWill);

/** Every promise of a link and its broker that costs no time, in one story. */
async function story(site: Site) {
  const bridge = client(site, 'bridge', 'saytap/1/#');
  const device = deviceOf(site, 'will');
  device.say(UP, 'before it is up');
  await site.until(() => bridge.isUp() && device.isUp());
  device.say(UP, 'one');
  device.say(UP, 'two');
  device.say(STATE, 'here', 'retain');
  await site.until(() => bridge.heard.length === 3);
  bridge.say(DOWN, 'receipt');
  await site.until(() => device.heard.length === 1);

  device.link.renew();
  await site.until(() => bridge.heard.at(-1) === `${STATE} glasses-1 gone 1`);
  await site.until(() => device.isUp());
  device.say(STATE, 'here again', 'retain');
  await site.until(() => bridge.heard.at(-1) === `${STATE} here again`);

  // Not its own topic: thrown out, and back with a will of its own.
  device.say('saytap/1/kiosk-1/state', 'not mine', 'retain');
  await site.until(() => bridge.heard.at(-1) === `${STATE} glasses-1 gone 2`);
  await site.until(() => device.isUp());
  device.say(UP, 'kept', 'retain');
  await site.until(() => bridge.heard.at(-1) === `${STATE} glasses-1 gone 3`);
  await site.until(() => device.isUp());

  // Another machine with its name takes its place.
  const clone = client(site, 'glasses-1 clone', 'saytap/1/glasses-1/down/+');
  await site.until(() => clone.isUp());
  await site.until(() => bridge.heard.at(-1) === `${STATE} glasses-1 gone 4`);
  await closed(site, clone);
  await site.until(() => device.isUp());

  // Refused what it wants to read, and the wrong password.
  const nosy = client(site, 'kiosk-1', 'saytap/1/glasses-1/down/+');
  await site.until(() => nosy.states.length === 2);
  await closed(site, nosy);

  device.say(STATE, 'left', 'retain');
  await closed(site, device);
  await site.until(() => bridge.heard.at(-1) === `${STATE} left`);
  await closed(site, bridge);
  const late = bridgeOf(site, 'saytap/1/+/state');
  await site.until(() => late.heard.length === 1);
  await closed(site, late);
  return {
    bridge: bridge.heard,
    device: device.heard,
    states: device.states,
    nosy: new Set(nosy.states),
    late: late.heard,
  };
}

test('a story of every verb is the same with the real link and broker', async () => {
  const broker = await startBroker({ host: '127.0.0.1', port: 0, bridgePassword: 'secret' });
  onTestFinished(broker.close);
  const real = await story({
    connect: () => connectLink,
    url: broker.url,
    until: (isSo) => expect.poll(isSo, { timeout: 20_000, interval: 10 }).toBe(true),
  });
  expect(await story(createSite())).toEqual(real);
}, 60_000);

test('while both are up and nothing is wrong, all arrives once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(fc.nat({ max: 40 })), async (seed, pauses) => {
      const site = createSite(String(seed));
      const [bridge, device] = [bridgeOf(site), deviceOf(site)];
      await site.until(() => bridge.isUp() && device.isUp());
      for (const [at, pause] of pauses.entries()) {
        device.say(UP, String(at));
        await site.wait(pause);
      }
      await site.wait(100);
      expect(bridge.heard).toEqual(pauses.map((_, at) => `${UP} ${at}`));
    }),
    { numRuns: 50 },
  );
});

test('what waited for a cut way arrives in order when that is open in time', async () => {
  const site = createSite();
  const [bridge, device] = [bridgeOf(site), deviceOf(site)];
  await site.until(() => bridge.isUp() && device.isUp());
  const heal = site.network.strike({ trouble: 'cut', hosts: ['glasses-1'] });
  for (const text of ['one', 'two', 'three']) device.say(UP, text);
  await site.wait(10_000);
  expect(bridge.heard).toEqual([]);
  heal();
  device.say(UP, 'four');
  await site.wait(3_000);
  expect(bridge.heard).toEqual(['one', 'two', 'three', 'four'].map((text) => `${UP} ${text}`));
  expect(device.states).toEqual(['up']);
});

describe('a client that is cut off', () => {
  test('notices after the keep-alive, tries again, and is back when the way is open', async () => {
    const site = createSite();
    const [bridge, device] = [bridgeOf(site, 'saytap/1/+/+'), deviceOf(site, 'will')];
    await site.until(() => bridge.isUp() && device.isUp());
    const heal = site.network.strike({ trouble: 'cut', hosts: ['glasses-1', 'kiosk-1'] });
    device.say(UP, 'lost with its connection');
    await site.wait(MQTT_KEEPALIVE_S * 500 - 100);
    expect(device.states).toEqual(['up']);
    await site.wait(MQTT_KEEPALIVE_S * 1_000 + 200);
    expect(device.states[1]).toBe('down');
    await site.wait(60_000);
    expect(device.states.filter((state) => state === 'up')).toHaveLength(1);
    expect(bridge.heard).toEqual([`${STATE} glasses-1 gone 1`]);
    heal();
    await site.until(() => device.isUp());
    device.say(STATE, 'here', 'retain');
    await site.until(() => bridge.heard.at(-1) === `${STATE} here`);
  });

  test('half is found out by whoever hears nothing', async () => {
    for (const way of ['up', 'down'] as const) {
      const site = createSite();
      const [bridge, device] = [bridgeOf(site, 'saytap/1/#'), deviceOf(site, 'will')];
      await site.until(() => bridge.isUp() && device.isUp());
      site.network.strike({ trouble: 'half-open', way, hosts: ['glasses-1'] });
      device.say(UP, 'one');
      bridge.say(DOWN, 'two');
      await site.wait(1_000);
      expect(bridge.heard.includes(`${UP} one`)).toBe(way === 'down');
      expect(device.heard).toHaveLength(way === 'down' ? 0 : 1);
      await site.wait(MQTT_KEEPALIVE_S * 1_500 + 1_000);
      expect(device.isUp()).toBe(false);
      expect(bridge.heard.at(-1)).toBe(`${STATE} glasses-1 gone 1`);
    }
  });
});

test('the will of a killed program comes at once, without power after the keep-alive', async () => {
  for (const how of ['killed', 'power cut'] as const) {
    const site = createSite();
    const [bridge, device] = [bridgeOf(site, 'saytap/1/#'), deviceOf(site, 'will')];
    await site.until(() => bridge.isUp() && device.isUp());
    device.say(UP, 'last');
    site.end('glasses-1', how);
    await site.wait(100);
    const gone = [`${UP} last`, `${STATE} glasses-1 gone 1`];
    expect(bridge.heard).toEqual(how === 'killed' ? gone : gone.slice(0, 1));
    await site.wait(MQTT_KEEPALIVE_S * 1_500);
    expect(bridge.heard).toEqual(gone);
    expect(device.states).toEqual(['up']);
    const next = deviceOf(site);
    await site.until(() => next.isUp());
  }
});

test('a machine that is back before its silence was noticed takes its own place', async () => {
  const site = createSite();
  const [bridge, device] = [bridgeOf(site, 'saytap/1/#'), deviceOf(site, 'will')];
  await site.until(() => bridge.isUp() && device.isUp());
  site.end('glasses-1', 'power cut');
  const next = deviceOf(site, 'will');
  await site.until(() => next.isUp());
  await site.wait(100);
  expect(bridge.heard).toEqual([`${STATE} glasses-1 gone 1`]);
  bridge.say(DOWN, 'receipt');
  await site.wait(60_000);
  expect(next.heard).toEqual([`${DOWN} receipt`]);
  expect(device.heard).toEqual([]);
  expect(bridge.heard).toHaveLength(1 + 1); // Its own word comes to it, too.
});

test('a broker that restarts has forgotten all, says no will, and is found again', async () => {
  const site = createSite();
  const [bridge, device] = [bridgeOf(site, 'saytap/1/#'), deviceOf(site, 'will')];
  await site.until(() => bridge.isUp() && device.isUp());
  device.say(STATE, 'here', 'retain');
  await site.wait(100);
  site.network.restartBroker(5_000);
  await site.wait(1_000);
  expect([bridge.states.at(-1), device.states.at(-1)]).toEqual(['down', 'down']);
  await site.wait(3_000);
  expect(device.states.length).toBeGreaterThan(3_000 / (MQTT_RECONNECT_MS * 2));
  await site.until(() => bridge.isUp() && device.isUp());
  await site.wait(1_000);
  expect(bridge.heard).toEqual([`${STATE} here`]);
});

test('lost, late and repeated are as many as was asked for', async () => {
  const count = async (trouble: 'lose' | 'delay' | 'repeat', hosts?: readonly string[]) => {
    const site = createSite();
    const [bridge, device] = [bridgeOf(site), deviceOf(site)];
    await site.until(() => bridge.isUp() && device.isUp());
    const strength = trouble === 'lose' ? { trouble } : { trouble, ms: 5_000 };
    site.network.strike({ ...strength, share: 0.3, ...(hosts && { hosts }) });
    for (let i = 0; i < 200; i++) {
      device.say(UP, String(i).padStart(3, '0'));
      await site.wait(1);
    }
    await site.wait(20_000);
    return bridge.heard;
  };
  const lost = await count('lose', ['glasses-1']);
  expect(lost.length).toBeGreaterThan(110);
  expect(lost.length).toBeLessThan(170);
  expect(lost).toEqual([...lost].sort());
  const everywhere = await count('lose');
  expect(everywhere.length).toBeLessThan(lost.length);
  expect(await count('lose', ['kiosk-1'])).toHaveLength(200);
  const late = await count('delay', ['glasses-1']);
  expect(late).toHaveLength(200);
  expect(late).not.toEqual([...late].sort());
  const repeated = await count('repeat', ['glasses-1']);
  expect(repeated.length).toBeGreaterThan(230);
  expect(new Set(repeated).size).toBe(200);
});

test('a URL that is none ends with one line', () => {
  const site = createSite();
  expect(() => deviceOf({ ...site, url: 'http://broker' })).toThrow(/mqtt:\/\/host:1883/);
});
