/** Devices that wait, as the pages see them: who may decide what about which. */
import { beforeEach, expect, test } from 'vitest';
import { approvalVerbs } from '../../broker/approvals.ts';
import type { EnrolmentView } from '../../broker/enrolment.ts';
import type { Store, Visitor } from '../../broker/store/port.ts';
import type { Verbs } from '../../broker/visits.ts';
import type { Said } from '../../src/approval.ts';
import { OperatorError } from '../../src/errors.ts';
import { SHORT_CODE_MS, SHORT_CODE_TRIES } from '../../src/limits.ts';
import { NOW_MS } from './stage.ts';

const wearer: Visitor = { role: 'wearer', by: 'Li', funding: 'acct-1', payer: '07'.repeat(16) };
const operator: Visitor = { role: 'operator', by: 'Li' };
const GLASSES: EnrolmentView = {
  ...{ code: '7K3QD-9XMPA', key: 'ab'.repeat(32), enrol: '', role: 'device', device: 'glasses-1' },
  ...{
    hasPairing: true,
    address: '10.0.0.9',
    askedMs: NOW_MS - 5_000,
    state: 'open',
    said: undefined,
  },
};

/** Whose device has a name already. */
const holders: Readonly<Record<string, Uint8Array | undefined>> = {
  mine: new Uint8Array(16).fill(7),
  theirs: new Uint8Array(16).fill(8),
  'till-1': undefined,
};

let nowMs: number;
let waiting: EnrolmentView;
let decided: unknown[];
let blocked: string[];
let verbs: Verbs;

beforeEach(() => {
  nowMs = NOW_MS;
  waiting = GLASSES;
  decided = [];
  blocked = [];
  const find = async (named: string) => {
    if (named !== waiting.code) throw new OperatorError('failed', 'no device waits');
    await Promise.resolve();
    return waiting;
  };
  const keys: Record<string, { role: string }> = {
    tilly: { role: 'terminal' },
    b: { role: 'bridge' },
  };
  verbs = approvalVerbs({
    store: {
      identity: async (name: string) => keys[name] && { name, statement: keys[name] },
      setIdentityStatus: async (name: string) => blocked.push(name) > 0,
      note: async () => {},
      identities: async () => [],
      identityOfDevice: async (device: string) =>
        device in holders ? { name: device, statement: { payer: holders[device] } } : undefined,
    } as unknown as Store,
    enrolments: {
      list: async () => [waiting],
      find,
      approve: async (named, said, by) => {
        await find(named);
        decided.push(said, by.by);
        waiting = { ...waiting, state: 'enrolled', said };
        return waiting;
      },
      refuse: async (named) => {
        await find(named);
        decided.push('refused');
        waiting = { ...waiting, state: 'refused' };
        return waiting;
      },
    },
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    isOnline: async () => undefined,
  });
});

const ask = (who: Visitor, verb: string, asked: object) => verbs[verb]!.run(who, asked);
const named = GLASSES.code;

test('a wearer says only that it is theirs: role and payer come from the login', async () => {
  const said: Said = {
    ...{ role: 'terminal', device: 'mine', payee: 'evil', terminal: 't', presence: 4 },
    ...{ payer: '08'.repeat(16), names: [['en', 'Evil']] },
  };
  expect(await ask(wearer, 'approve', { named, said })).toMatchObject({ state: 'enrolled' });
  expect(decided).toEqual([
    { role: 'device', device: 'mine', payer: '07'.repeat(16) },
    'the wearer',
  ]);
});

test.each(['terminal', 'agent', 'wallet'] as const)(
  'a key that asks to be a %s is an operator’s to approve or refuse',
  async (role) => {
    waiting = { ...GLASSES, role };
    const forbidden = { reason: 'role_forbidden' };
    await expect(ask(wearer, 'approve', { named, said: {} })).rejects.toMatchObject(forbidden);
    await expect(ask(wearer, 'refuse', { named })).rejects.toMatchObject(forbidden);
    await ask(operator, 'approve', { named, said: { payee: 'shop' } });
    expect(decided).toEqual([{ role, device: 'glasses-1', payee: 'shop' }, 'Li']);
  },
);

test.each(['theirs', 'till-1'])(
  'no wearer takes the name of %s, even of one that is stopped',
  async (device) => {
    const asked = ask(wearer, 'approve', { named, said: { device } });
    await expect(asked).rejects.toMatchObject({ reason: 'suspended' });
    expect(decided).toEqual([]);
    await ask(operator, 'approve', { named, said: { device } });
    expect(decided).toHaveLength(2);
  },
);

test.each(['unsigned', 'enrolled', 'refused'] as const)(
  'what is %s already is no wearer’s to decide again',
  async (state) => {
    waiting = { ...GLASSES, state };
    const reason = 'suspended';
    await expect(ask(wearer, 'approve', { named, said: {} })).rejects.toMatchObject({ reason });
    await expect(ask(wearer, 'refuse', { named })).rejects.toMatchObject({ reason });
    expect(decided).toEqual([]);
  },
);

test('of two wearers who approve one device at once, one has it', async () => {
  const other = { ...wearer, payer: '08'.repeat(16) };
  const both = await Promise.allSettled([
    ask(wearer, 'approve', { named, said: {} }),
    ask(other, 'approve', { named, said: {} }),
  ]);
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect(decided).toHaveLength(2);
});

test('codes can be guessed slowly only, and who guesses keeps nobody else out', async () => {
  for (let i = 0; i < SHORT_CODE_TRIES; i++) {
    await expect(ask(wearer, 'waiting', { named: '00000-00000' })).rejects.toMatchObject({
      reason: 'original_unknown',
    });
  }
  const limited = { reason: 'rate_limited' };
  await expect(ask(wearer, 'waiting', { named })).rejects.toMatchObject(limited);
  await expect(ask(wearer, 'approve', { named, said: {} })).rejects.toMatchObject(limited);
  const other = { ...wearer, payer: '08'.repeat(16) };
  expect(await ask(other, 'waiting', { named })).toMatchObject({ code: named });
  expect(await ask(operator, 'waiting', { named })).toMatchObject({ code: named });
  nowMs += SHORT_CODE_MS;
  expect(await ask(wearer, 'waiting', { named })).toMatchObject({ code: named });
});

test('a wearer sees no list, no other’s device and nobody’s address', async () => {
  for (const verb of ['pending', 'devices', 'block'])
    expect(verbs[verb]!.roles).toEqual(['operator']);
  expect(await ask(wearer, 'waiting', { named })).not.toHaveProperty('address');
  expect(await ask(operator, 'pending', {})).toEqual([
    expect.objectContaining({ code: named, ageS: 5, address: '10.0.0.9' }),
  ]);
});

test('an operator blocks any device, and never a bridge', async () => {
  expect(await ask(operator, 'block', { name: 'tilly' })).toEqual({ changed: true });
  for (const name of ['b', 'nobody']) {
    await expect(ask(operator, 'block', { name })).rejects.toMatchObject({
      reason: 'role_forbidden',
    });
  }
  expect(blocked).toEqual(['tilly']);
});
