/**
 * The least that a durable payment needs of a store: its id once, the device's counter, and the
 * answer that was given. Two commits, shared by all that wait, as in the bridge.
 */
import { createGroup } from '../../broker/group.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';

export type Desk = Readonly<{
  take: (id: string, device: string, counter: number, body: Uint8Array) => Promise<void>;
  answered: (id: string, receipt: Uint8Array) => Promise<void>;
  close: () => void;
}>;

/** A desk in the file `path`; undefined keeps nothing, for measuring the edge alone. */
export function openDesk(path: string | undefined): Desk {
  if (path === undefined) {
    const nothing = () => Promise.resolve();
    return { take: nothing, answered: nothing, close: () => {} };
  }
  const database = openDatabase(path);
  database.exec(`
    CREATE TABLE payment (id TEXT PRIMARY KEY, body BLOB NOT NULL, receipt BLOB);
    CREATE TABLE device (name TEXT PRIMARY KEY, counter INTEGER NOT NULL);
  `);
  const insert = database.prepare('INSERT INTO payment (id, body) VALUES (?, ?)');
  const count = database.prepare(
    'INSERT INTO device VALUES (?, ?) ON CONFLICT DO UPDATE SET counter = excluded.counter',
  );
  const answer = database.prepare('UPDATE payment SET receipt = ? WHERE id = ?');
  const commit = createGroup<() => unknown, unknown>(
    (works) => database.commit(() => works.map((work) => work())),
    timers,
  );
  return {
    async take(id, device, counter, body) {
      await commit(() => {
        insert.run(id, body);
        count.run(device, BigInt(counter));
      });
    },
    async answered(id, receipt) {
      await commit(() => answer.run(receipt, id));
    },
    close: () => database.close(),
  };
}
