/** Puts numbered envelopes into the outbox of argv[2] until it is killed; tells each counter. */
import { writeSync } from 'node:fs';
import { openDatabase } from '../../src/node/sqlite.ts';
import { createOutbox } from '../../device/outbox.ts';

const outbox = createOutbox(openDatabase(process.argv[2]!));
for (let counter = outbox.counter('key') + 1; ; counter++) {
  const id = counter.toString(16).padStart(32, '0');
  const envelope = new Uint8Array(150).fill(counter);
  outbox.put({ id, kind: 'request', envelope, storedMs: counter }, { key: 'key', counter });
  writeSync(1, `${counter}\n`);
}
