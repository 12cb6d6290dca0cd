// The devices of a bridge at the command line: looked at, stopped, ended.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { command } from '../../../src/commands/device.ts';
import { EXITS } from '../../../src/errors.ts';
import { CAST } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
beforeEach(async () => void (desk = await openDesk()));
afterEach(() => desk.close());

const device = (args: readonly string[], ...answers: readonly string[]) =>
  desk.run('device', command, [...args, '--config', desk.at('bridge.yaml')], ...answers);
const SAID = ['--by', 'mei', '--why', 'left in a taxi'];
const status = async () => (await desk.stage.store.identity(CAST.glasses.key.name))!.status;

test('device list tells each device by its name, and no key that is none', async () => {
  const [head, ...rows] = (await device(['list'])).out.split('\n');
  expect(head).toMatch(/^device +role +status +statement until$/);
  expect(rows.map((row) => row.split(/ {2,}/).slice(0, 3))).toContainEqual([
    'glasses',
    'device',
    'active',
  ]);
  expect(rows.join('\n')).not.toMatch(/bridge|wallet/);
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
