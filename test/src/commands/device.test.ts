// The devices of a bridge at the command line: looked at, stopped, ended.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { command } from '../../../src/commands/device.ts';
import { EXITS } from '../../../src/errors.ts';
import { type Birth, type Death, encodePresence } from '../../../src/presence.ts';
import { CAST, NOW_S, admissionOf, admitTo, settle } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
beforeEach(async () => void (desk = await openDesk()));
afterEach(() => desk.close());

const device = (args: readonly string[], ...answers: readonly string[]) =>
  desk.run('device', command, [...args, '--config', desk.at('bridge.yaml')], ...answers);
const SAID = ['--by', 'mei', '--why', 'left in a taxi'];
const status = async () => (await desk.stage.store.identity(CAST.glasses.key.name))!.status;

const PLACE = { host: 'pi-cafe', boot: '0b0b0b0b', start: '01010101' };
const birth = (session: number, place = PLACE): Birth => ({
  session,
  online: true,
  place,
  versions: { saytap: '0.1.0', node: '24.21.0' },
  profile: 'glasses',
  channels: ['voice', 'tap'],
  surfaces: ['terminal'],
  offline: 'require_online',
  keys: 'file',
  presenceMax: 2,
  config: '0123456789abcdef',
  key: { kid: CAST.glasses.key.name.slice(0, 16), since: 1, until: 2 },
  queue: { open: 3, oldest: NOW_S - 250 },
});
async function say(value: Birth | Death, name = 'glasses'): Promise<void> {
  desk.stage.bridge().receive(`saytap/1/${name}/state`, encodePresence(value));
  await settle();
}
const rowOf = (out: string, name: string) =>
  out.split('\n').find((line) => line.startsWith(`${name} `))!;

test('device list tells each device: does it count, is it there, what waits', async () => {
  const [head, ...rows] = (await device(['list'])).out.split('\n');
  expect(head).toMatch(/^device +role +status +seen +waiting +oldest +key age +version$/);
  expect(rows.join('\n')).toMatch(/^glasses +device +active +never +- +- +\d+ \w+ +-$/m);
  expect(rows.join('\n')).not.toMatch(/bridge|wallet/);

  await say(birth(1));
  await desk.stage.time.advance(60_000);
  const here = rowOf((await device(['list'])).out, 'glasses');
  expect(here).toMatch(/active +online for 1 minute +3 +5 minutes +\d+ \w+ +0\.1\.0$/);
  await say({ session: 1, online: false, place: PLACE, left: false });
  expect(rowOf((await device(['list'])).out, 'glasses')).toMatch(/ lost 1 second ago /);
  await say(birth(2));
  await say({ session: 2, online: false, place: PLACE, left: true });
  expect(rowOf((await device(['list'])).out, 'glasses')).toMatch(/ left 1 second ago /);
});

test('nobody who is not enrolled is listed, whatever he says', async () => {
  await say(birth(1), 'nobody');
  expect((await device(['list'])).out).not.toContain('nobody');
});

test('device show tells what it says of itself, where from, and who stopped it', async () => {
  await say(birth(1));
  await device(['suspend', 'glasses', ...SAID]);
  const { out } = await device(['show', 'glasses']);
  expect(out).toMatch(/^device +glasses, device, suspended$/m);
  expect(out).toMatch(/^waiting +3, the oldest for 4 minutes$/m);
  expect(out).toMatch(/^version +saytap 0\.1\.0, Node 24\.21\.0, configuration 0123456789abcdef$/m);
  expect(out).toMatch(/^is +glasses; hears voice, tap; shows on terminal$/m);
  expect(out).toMatch(/^can +require_online, key in file, presence up to P2$/m);
  expect(out).toMatch(/^place +pi-cafe \(boot 0b0b0b0b, start 01010101\), last heard 2026-10-14/m);
  expect(out).toMatch(/^suspended +2026-10-14.* by mei: left in a taxi$/m);
  expect((await device(['show', 'nobody'])).failed).toMatch(/^there is no device nobody/);
});

test('two places that take turns are told once in the log, and shown', async () => {
  await say(birth(1));
  await say(birth(65, { ...PLACE, start: '02020202' }));
  for (const session of [2, 3, 4]) await say(birth(session));
  const warned = desk.stage.logs.filter((line) => line.includes('speaks from two places'));
  expect(warned).toHaveLength(1);
  expect(warned[0]).toMatch(/start 02020202.*start 01010101/);
  expect((await device(['show', 'glasses'])).out).toMatch(/^two places +at 2026-10-14/m);
  expect(await status(), 'unsigned, so nothing is decided by it').toBe('active');
});

describe('a key that two hold', () => {
  const behind = (counter: number, nonce: Uint8Array) =>
    desk.stage.query({ question: 'behind', counter, nonce });
  const fresh = () => desk.stage.nonces.at(desk.stage.clock.nowMs());

  test('is suspended when a device says that its disk is behind; the places are told', async () => {
    await say(birth(1));
    await say(birth(65, { ...PLACE, start: '02020202' }));
    await admitTo(desk.stage.store, await admissionOf({ counter: 7 }));
    await desk.stage.deliver('glasses', 'query', (await behind(6, fresh())).envelope);
    expect(await status()).toBe('suspended');
    const { out } = await device(['show', 'glasses']);
    expect(out).toMatch(/by the bridge: its disk is behind its counter$/m);
    expect(out).toMatch(/it spoke from pi-cafe \(boot 0b0b0b0b, start 01010101\)/);
    expect(out).toMatch(/it spoke from pi-cafe \(boot 0b0b0b0b, start 02020202\)/);
    expect(out).toContain('with a new key and your approval');
  });

  test.each<[string, number, () => Uint8Array]>([
    ['as far as the bridge', 7, fresh],
    ['ahead: the last is on its way', 8, fresh],
    ['behind, under an old nonce', 6, () => new Uint8Array(8)],
  ])('is not suspended when it is %s', async (_why, counter, nonce) => {
    await admitTo(desk.stage.store, await admissionOf({ counter: 7 }));
    await desk.stage.deliver('glasses', 'query', (await behind(counter, nonce())).envelope);
    expect(await status()).toBe('active');
  });
});

test('a device is suspended, resumed and revoked by its name, as its key is', async () => {
  const { name } = CAST.glasses.key;
  const stopped = await device(['suspend', 'glasses', ...SAID]);
  expect(stopped.out).toBe(`key ${name} of the device glasses, active\nit is suspended now`);
  expect(await status()).toBe('suspended');
  expect((await device(['resume', 'glasses', ...SAID])).out).toContain('it is active now');
  expect((await device(['revoke', 'glasses', ...SAID], 'no')).failed).toBe('nothing was changed');
  expect((await device(['revoke', 'glasses', ...SAID], 'yes')).out).toContain('it is revoked now');
  expect(await status()).toBe('revoked');
  const said = (await desk.stage.store.evidence(name)).map(({ body }) =>
    new TextDecoder().decode(body),
  );
  expect(said.join('\n')).toContain('left in a taxi');
});

test('a name that is none is refused with those there are', async () => {
  const { failed, exit } = await device(['suspend', 'glass', ...SAID]);
  expect(failed).toMatch(
    /^there is no device glass at this bridge; it knows .*glasses.*see saytap/,
  );
  expect(exit).toBe(EXITS.usage);
});
