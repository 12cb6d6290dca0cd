/**
 * Puts numbered envelopes into the outbox of argv[2] until it is killed, each spending one unit of
 * one lease; tells each counter.
 */
import { writeSync } from 'node:fs';
import { openDatabase } from '../../src/node/sqlite.ts';
import { createOutbox } from '../../device/outbox.ts';

const outbox = createOutbox(openDatabase(process.argv[2]!));
const amount = { currency: 'CNY', minor: 1n };
const whole = { ...amount, minor: 1_000_000n };
const mandate = 'ab'.repeat(16);
const lease = { exp: 9_000, mandate, amount: whole, count: 1_000_000, upload: 9_000 };
outbox.hearLease({ iat: 1, nonce: new Uint8Array(8), lease });
for (let counter = outbox.counter('key') + 1; ; counter++) {
  const id = counter.toString(16).padStart(32, '0');
  const envelope = new Uint8Array(150).fill(counter);
  outbox.put(
    { id, kind: 'request', envelope, storedMs: counter },
    { key: 'key', counter },
    { lease: outbox.lease(mandate)!, payer: 'payer', amount },
  );
  writeSync(1, `${counter}\n`);
}
