/** Method: outboxes and transfers as plain lists, also those of a system that went wrong. */
import { expect, test } from 'vitest';
import { PaymentError } from '../../src/errors.ts';
import { seal } from '../../src/objects/kind.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { nodeSigner } from '../../src/signer.ts';
import { openKeyFile } from '../../src/keyfile.ts';
import { files } from '../../src/node/platform.ts';
import type { Transfer, TransferKind } from '../../broker/ledger/accounts.ts';
import type { Entry } from '../../device/outbox.ts';
import { createTally } from '../../simulator/tally.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const REALM = { environment: 'sim', ledger: 'demo' } as const;
const folder = mkdtempSync(join(tmpdir(), 'saytap-tally-'));
const signer = nodeSigner(openKeyFile(files, join(folder, 'key.pem'), 'ES256'));
rmSync(folder, { recursive: true });
const amount = { currency: 'CNY', minor: 100n };
const id = (n: number) => n.toString(16).padStart(32, '0');

async function stage() {
  const transfers: Transfer[] = [];
  const outbox = new Map<string, Entry>();
  const state = { isOff: false, isAway: false };
  const move = (payment: string, kind: TransferKind = 'pay', key = payment) =>
    transfers.push({
      ...{ number: transfers.length + 1, debit: 'a', credit: 'b', amount, kind, key, payment },
      atMs: 0,
    });
  move(id(99)); // Of an earlier run.
  const tally = await createTally({
    ledger: {
      balances: async () => [],
      async transfers(after) {
        if (state.isAway) throw new PaymentError('unavailable', 'away');
        return transfers.filter(({ number }) => number > after).slice(0, 2);
      },
    },
    shelf: () => (state.isOff ? undefined : outbox),
  });
  async function asks(n: number, order?: string) {
    const envelope = await seal(
      requestKind,
      {
        ...{ exp: 1, action: 'pay', mandate: id(1), counter: 1, amount, payee: 'p' },
        ...{ presence: 1, channel: 'voice', nonce: new Uint8Array(8) },
        ...(order !== undefined && { order }),
      } as Parameters<typeof requestKind.encode>[0],
      REALM,
      signer,
    );
    const entry = { id: id(n), kind: 'request', envelope, storedMs: 0 } as const;
    const rest = { receipt: undefined, cancel: undefined, isOffline: false, transcript: undefined };
    outbox.set(id(n), { ...entry, ...rest });
    tally.asked('glasses-1', id(n), envelope);
  }
  async function ends(n: number, outcome: 'captured' | 'refused') {
    const reason = outcome === 'refused' ? { reason: 105 } : {};
    const value = { iat: 1, subject: id(n), outcome, ...reason } as const;
    const receipt = await seal(receiptKind, value, REALM, signer);
    outbox.set(id(n), { ...outbox.get(id(n))!, receipt });
  }
  return { tally, outbox, state, move, asks, ends };
}

const NONE = { asked: 0, paid: 0, twice: 0, lost: 0, waiting: 0, refused: 0, isKnown: true };

test('what was before this run does not count', async () => {
  const { tally } = await stage();
  expect(await tally.count()).toEqual({ kind: 'tally', ...NONE });
});

test('waiting, paid, refused; and as it was while the device is off', async () => {
  const { tally, asks, ends, move, state } = await stage();
  for (const n of [1, 2, 3]) await asks(n);
  await ends(2, 'captured');
  move(id(2));
  await ends(3, 'refused');
  const counted = { ...NONE, asked: 3, paid: 1, waiting: 1, refused: 1 };
  expect(await tally.count()).toMatchObject(counted);
  state.isOff = true;
  expect(await tally.count()).toMatchObject(counted);
  expect(tally.moved(id(2))).toMatchObject([{ kind: 'pay', amount }]);
});

test('money that is there before its receipt is paid, and waits', async () => {
  const { tally, asks, move } = await stage();
  await asks(1);
  move(id(1));
  expect(await tally.count()).toMatchObject({ paid: 1, waiting: 1, lost: 0 });
});

test.each<[string, (on: Awaited<ReturnType<typeof stage>>) => unknown, object]>([
  ['told paid, and the ledger knows nothing', ({ ends }) => ends(1, 'captured'), { lost: 1 }],
  ['gone from its outbox', ({ outbox }) => outbox.delete(id(1)), { lost: 1 }],
  [
    'told refused, and the money went',
    async ({ ends, move }) => {
      await ends(1, 'refused');
      move(id(1));
    },
    { lost: 1, refused: 1 },
  ],
  [
    'held, let go and told refused: nothing is lost',
    async ({ ends, move }) => {
      await ends(1, 'refused');
      move(id(1), 'hold');
      move(id(1), 'release', id(7));
    },
    { lost: 0, refused: 1, paid: 0 },
  ],
  [
    'paid twice under one request',
    ({ move }) => {
      move(id(1));
      move(id(1), 'pay', id(8));
    },
    { twice: 1, paid: 1 },
  ],
])('%s', async (_what, go, expected) => {
  const on = await stage();
  await on.asks(1);
  await go(on);
  expect(await on.tally.count()).toMatchObject({ asked: 1, ...expected });
});

test('one order that two requests paid is paid twice', async () => {
  const { tally, asks, move } = await stage();
  await asks(1, id(50));
  await asks(2, id(50));
  move(id(1));
  expect(await tally.count()).toMatchObject({ twice: 0 });
  move(id(2));
  expect(await tally.count()).toMatchObject({ twice: 1, paid: 2 });
});

test('a ledger that is away calls nothing lost, and says that it is not known', async () => {
  const { tally, asks, ends, state, move } = await stage();
  await asks(1);
  await ends(1, 'captured');
  move(id(1));
  state.isAway = true;
  expect(await tally.count()).toMatchObject({ isKnown: false, lost: 0 });
  state.isAway = false;
  expect(await tally.count()).toMatchObject({ isKnown: true, paid: 1, lost: 0 });
});
