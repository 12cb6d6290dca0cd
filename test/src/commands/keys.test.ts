// The enrolled keys at the command line: looked at, stopped, ended.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { command } from '../../../src/commands/keys.ts';
import { EXITS } from '../../../src/errors.ts';
import { CAST, ENROLLED } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
beforeEach(async () => void (desk = await openDesk()));
afterEach(() => desk.close());

const keys = (args: readonly string[], ...answers: readonly string[]) =>
  desk.run('keys', command, [...args, '--config', desk.at('bridge.yaml')], ...answers);
const SAID = ['--by', 'mei', '--why', 'phone lost'];
const name = CAST.glasses.key.name;
const status = async () => (await desk.stage.store.identity(name))!.status;

test('keys list tells who each is, whose, and until when', async () => {
  const { out } = await keys(['list']);
  const [head, ...rows] = out.split('\n');
  expect(head).toMatch(/^key +status +role +device +whose +statement until$/);
  expect(rows).toHaveLength(ENROLLED.length);
  expect(out).toMatch(
    new RegExp(`${name.slice(0, 16)} +active +device +glasses +payer 0707.* 2027-10-14`),
  );
  expect(out).toMatch(/active +terminal +kiosk +cafe/);
});

describe('a key', () => {
  test('is suspended and resumed; who and why are in the evidence', async () => {
    const stopped = await keys(['suspend', name.slice(0, 16), ...SAID]);
    expect(stopped).toMatchObject({ failed: undefined, asked: [] });
    expect(stopped.out).toBe(`key ${name} of the device glasses, active\nit is suspended now`);
    expect(await status()).toBe('suspended');
    const twice = await keys(['suspend', name, ...SAID]);
    expect(twice).toMatchObject({ failed: 'it stays suspended', exit: EXITS.failed });
    expect((await keys(['resume', name, ...SAID])).out).toContain('it is active now');
    const evidence = await desk.stage.store.evidence(name);
    const said = evidence.map(({ body }) => new TextDecoder().decode(body)).join('\n');
    expect(said).toContain('phone lost');
  });

  test('is revoked after a typed yes, and never comes back', async () => {
    const no = await keys(['revoke', name, ...SAID], 'no');
    expect(no).toMatchObject({
      asked: ['End this key for good? Type yes: '],
      failed: 'nothing was changed',
    });
    expect(await status()).toBe('active');
    expect((await keys(['revoke', name, ...SAID], 'yes')).out).toContain('it is revoked now');
    expect((await keys(['resume', name, ...SAID])).failed).toBe('it stays revoked');
    expect(await status()).toBe('revoked');
  });

  test.each([
    [['suspend', 'abc', ...SAID], /^a key is named by 8 to 64/, EXITS.usage],
    [['suspend', 'ABCDEF0123', ...SAID], /^a key is named by 8 to 64/, EXITS.usage],
    [['suspend', '00000000', ...SAID], /^there is no key 00000000 at this bridge/, EXITS.usage],
    [['suspend', name, ...SAID, '--yes'], /^Unknown option '--yes'/, EXITS.usage],
    [['suspend', name], /^--by is needed/, EXITS.usage],
    [['suspend', name, '--by', 'mei'], /^--why is needed/, EXITS.usage],
  ] as const)('%j is refused', async (args, line, code) => {
    const { failed, exit } = await keys([...args]);
    expect(failed).toMatch(line);
    expect(exit).toBe(code);
    expect(await status()).toBe('active');
  });
});
