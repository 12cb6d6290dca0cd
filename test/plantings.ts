/**
 * Mistakes that a payment system makes sooner or later, as edits of the sources: what a storm must
 * notice. The product knows nothing of them; test/mutants.ts plants them while it is loaded.
 *
 * Each is the smallest edit that makes the mistake whole. Where the product has a second net under
 * it (a CHECK of the table, a counter that the disk compares), that net is cut, too, because it is
 * the mistake that is to be found and not the net. A text must stand exactly once in its file; a
 * test reads that of all of them, so that none of them is left behind by a change.
 */

/** Replaces `from`, which stands exactly once in `file`. */
export type Edit = Readonly<{ file: string; from: string; to: string }>;

export type Planting = Readonly<{ what: string; edits: readonly Edit[] }>;

/** The twelve of docs/storms.md, in its order. */
export const TWELVE = Object.freeze({
  'ack before commit': {
    what: 'the device sends, and says so, before the payment is on its disk',
    edits: [
      {
        file: '/device/outbox.ts',
        from: `        database.transaction(() => {
          store(database, entry, used, spends);
          if (spends) leases.spend(spends.lease.mandate, spends.amount.minor);
        });`,
        to: `        void database
          .commit(() => {
            store(database, entry, used, spends);
            if (spends) leases.spend(spends.lease.mandate, spends.amount.minor);
          })
          .catch(() => {});`,
      },
      {
        file: '/device/outbox.ts',
        from: `      emptyLog(database);
    },
    get(id) {`,
        to: `    },
    get(id) {`,
      },
    ],
  },
  'timeout = declined': {
    what: 'an answer that does not come is taken for a decline',
    edits: [
      {
        file: '/broker/attempt.ts',
        from: `return attempt.state === 'submitting' ? { state: 'unknown' } : undefined;`,
        to: `return { state: 'declined', reason: 'backend_declined' };`,
      },
    ],
  },
  'counter in memory': {
    what: 'the counter of a key begins again with the program',
    edits: [
      {
        file: '/device/sequence.ts',
        from: `let waiting = 0;`,
        to: `let waiting = 0; let memory = 0;`,
      },
      {
        file: '/device/sequence.ts',
        from: `const counter = outbox.counter(key) + 1;`,
        to: `const counter = ++memory;`,
      },
      {
        file: '/device/outbox.ts',
        from: `if (raised.changes !== 1) throw`,
        to: `if (raised.changes > 1) throw`,
      },
    ],
  },
  'window checked outside the transaction': {
    what: 'the windows are read when a request comes in, and reserved later',
    edits: [
      {
        file: '/broker/store/sqlite.ts',
        from: `admit: (admission, judge) => sql(() => runs.admit(admission, judge)),`,
        to: `admit(admission, judge) {
          const read = facts.chain(admission.request.mandate, admission.nowMs);
          const stale = (now) => judge({ ...now, chain: now.original ? now.chain : read });
          return sql(() => runs.admit(admission, stale));
        },`,
      },
      {
        file: '/broker/store/schema.ts',
        from: `  PRIMARY KEY (mandate, place, label),
  CHECK (settled + reserved <= max),
  CHECK (settled_count + reserved_count <= max_count)
`,
        to: `  PRIMARY KEY (mandate, place, label)
`,
      },
      {
        file: '/broker/store/schema.ts',
        from: `CHECK (pooled >= 0 AND settled + reserved + pooled <= max)`,
        to: `CHECK (pooled >= 0)`,
      },
      {
        file: '/broker/store/schema.ts',
        from: `(pooled_count >= 0 AND settled_count + reserved_count + pooled_count <= max_count)`,
        to: `(pooled_count >= 0)`,
      },
    ],
  },
  'receipt before commit': {
    what: 'the bridge tells an outcome before it is on its disk',
    edits: [
      {
        file: '/broker/bridge.ts',
        from: `    return store.conclude(run, {`,
        to: `    if (run.device !== '') parts.send(downTopic(run.device, 'receipt'), receipt, 1);
    return store.conclude(run, {`,
      },
    ],
  },
  'outbox delete on PUBACK': {
    what: 'what the broker has taken is deleted from the outbox',
    edits: [
      {
        file: '/device/link.ts',
        from: `else link.publish(upTopic(device, kind), envelope, 1);`,
        to: `else {
          link.publish(upTopic(device, kind), envelope, 1);
          if (kind === 'request') {
            sending.delete(item.entry.id);
            outbox.drop(item.entry.id);
            continue;
          }
        }`,
      },
      {
        file: '/device/outbox.ts',
        from: `    get(id) {
      const row = one('SELECT * FROM entries WHERE id = ?', id);`,
        to: `    drop(id) {
      database.prepare('DELETE FROM entries WHERE id = ?').run(id);
    },
    get(id) {
      const row = one('SELECT * FROM entries WHERE id = ?', id);`,
      },
    ],
  },
  'revoke cached': {
    what: 'the bridge keeps a mandate in memory, and with it that it is active',
    edits: [
      {
        file: '/broker/store/facts.ts',
        from: `  const mandates = keeper(mandateKind);`,
        to: `  const mandates = keeper(mandateKind);
  const cached = new Map();`,
      },
      {
        file: '/broker/store/facts.ts',
        from: 'const row = one(`${MANDATE} WHERE m.id = ?`, id);',
        to:
          'const row = cached.get(id) ?? one(`${MANDATE} WHERE m.id = ?`, id);\n' +
          '    cached.set(id, row);',
      },
    ],
  },
  'retry as a new request': {
    what: 'the device signs the same payment again when no answer comes',
    edits: [
      {
        file: '/device/runtime.ts',
        from: `    return telling.outcome(entry.id, frame, answer);`,
        to: `    const told = await telling.outcome(entry.id, frame, answer);
    if (told.kind !== 'unconfirmed') return told;
    const again = await parts.sequence.add(write, { isMeant, stored });
    if (!again) return told;
    if (again.isStored) parts.link().send(again.entry);
    return telling.outcome(again.entry.id, frame, answers.to(again.entry.id));`,
      },
    ],
  },
  'expiry re-decided after unknown': {
    what: 'a payment whose answer is missing is called expired when its time is over',
    edits: [
      {
        file: '/broker/bridge.ts',
        from: `if (attempt.state === 'done') return conclude(run, movedBy(attempt));`,
        to: `const isFresh = isFirst && attempt.state === 'submitting';
      const isMissing = !isFresh && !isOver(attempt.state);
      if (isMissing && clock.nowMs() >= run.request.exp * 1000) {
        return conclude(run, refusedAs('expired'));
      }
      if (attempt.state === 'done') return conclude(run, movedBy(attempt));`,
      },
    ],
  },
  'ids forgotten too early': {
    what: 'the bridge forgets what ended a few seconds ago, and devices still send it',
    edits: [
      {
        file: '/broker/compose.ts',
        from: `await store.forget(nowMs - BRIDGE_KEEP_MS);`,
        to: `await store.forget(nowMs - 1_000);`,
      },
      {
        file: '/broker/compose.ts',
        from: `every(timers, BRIDGE_FORGET_MS, () => void forget()),`,
        to: `every(timers, 1_000, () => void forget()),`,
      },
    ],
  },
  'refusal not final': {
    what: 'a request that was refused is judged again when it comes again',
    edits: [
      {
        file: '/broker/store/runs.ts',
        from: `    if (known) return { run: known, fresh: false, suspended: false };`,
        to: `    if (known && known.refusal === undefined) {
      return { run: known, fresh: false, suspended: false };
    }
    write('DELETE FROM runs WHERE id = ?', id);`,
      },
    ],
  },
  'lease not reserved': {
    what: 'what is leased is not set aside in the windows of its mandates',
    edits: [
      {
        file: '/broker/store/leases.ts',
        from: `    for (const link of links) {
      for (const [place, window] of link.mandate.windows.entries()) {`,
        to: `    for (const link of []) {
      for (const [place, window] of link.mandate.windows.entries()) {`,
      },
    ],
  },
} satisfies Readonly<Record<string, Planting>>);

/** What else is planted by tests, into programs of their own. */
const OTHERS = Object.freeze({
  'timeout is a no': {
    what: 'a timeout is taken for "nothing happened": the next backend is tried at once',
    edits: [
      {
        file: '/broker/attempt.ts',
        from: `return attempt.state === 'submitting' ? { state: 'unknown' } : undefined;`,
        to: `return { state: 'unsent' };`,
      },
    ],
  },
  'unseen is a no': {
    what: '"unknown order" is taken for "not executed and never will be"',
    edits: [
      {
        file: '/broker/attempt.ts',
        from: `if (state.kind !== 'done') return undefined;`,
        to: `if (state.kind === 'unseen') return { state: 'cancelled' };
         if (state.kind !== 'done') return undefined;`,
      },
    ],
  },
  'resolve by query': {
    what: 'no mistake: the ledger as a backend that must be asked, and knows no repeated call',
    edits: [
      {
        file: '/broker/backends/ledger.ts',
        from: `resolvesBy: 'replay',`,
        to: `resolvesBy: 'query',`,
      },
    ],
  },
} satisfies Readonly<Record<string, Planting>>);

export const PLANTINGS: Readonly<Record<string, Planting>> = Object.freeze({
  ...TWELVE,
  ...OTHERS,
});
