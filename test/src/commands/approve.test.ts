// An operator approves a device at the command line, with a bridge that has the root at hand.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toHex } from '../../../src/bytes.ts';
import { command } from '../../../src/commands/device.ts';
import { enrol as enrolKind } from '../../../src/objects/enrol.ts';
import { seal } from '../../../src/objects/kind.ts';
import { shortCode, spelled } from '../../../src/pairing.ts';
import { CAST, NOW_S, REALM, makeSigner } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
beforeEach(async () => void (desk = await openDesk()));
afterEach(() => desk.close());

/** A kiosk that asks to be enrolled; returns its short code. */
async function asking(): Promise<string> {
  const signer = makeSigner();
  const value = {
    iat: NOW_S,
    key: signer.key.public,
    role: 'terminal',
    device: 'kiosk-9',
  } as const;
  const body = await seal(enrolKind, value, REALM, signer);
  const question = { method: 'POST', path: '/v1/enrol', headers: {}, body, address: '10.0.0.9' };
  expect(await desk.enrolments.route(question)).toMatchObject({ status: 202 });
  return spelled(shortCode(signer.key.thumbprint));
}

test('what the root is to say of a device is shown with the root that will say it', async () => {
  const code = await asking();
  const till = ['--payee', 'cafe', '--terminal', 'till-9', '--name', 'en=Café'];
  const args = ['approve', code, '--config', desk.at('bridge.yaml'), ...till];
  const { out, asked } = await desk.run('device', command, args, 'yes');
  expect(asked).toEqual([expect.stringContaining('Does its screen show this code?')]);
  const kid = toHex(CAST.root.key.kid).slice(0, 8);
  expect(out).toContain(`${code} at 10.0.0.9`);
  expect(out).toMatch(new RegExp(`^Root key ${kid}… says that key .* is a terminal`, 'm'));
  expect(out).toContain('it is enrolled');
});
