// A saved payment: whole, shown to anybody, and decided again by the code of today.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createDisks } from '../../simulator/disk.ts';
import { planOf } from '../../simulator/forecast.ts';
import { runStorm } from '../../simulator/storm.ts';
import { type Trace, readTrace, traceText, tracesIn } from '../../simulator/trace.ts';
import { redact } from '../../simulator/trace/redaction.ts';
import { replay } from '../../simulator/trace/replay.ts';
import { replayLines, sheetOf } from '../../simulator/trace/sheet.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';
import { playText } from './scenario/worlds.ts';

const PORTS = { turn: timers.soon, openDatabase };
const FOLDER = join(import.meta.dirname, '../../simulator/scenarios');
const played = async (name: string) =>
  (await playText(readFileSync(join(FOLDER, `${name}.yaml`), 'utf8'))).traces;

async function differing(trace: Trace): Promise<readonly string[]> {
  const { verdicts } = await replay(trace, PORTS);
  return replayLines(trace, verdicts)
    .filter(({ tone }) => tone === 'bad')
    .map(({ text }) => text);
}

describe('a replay', () => {
  /** Voice, tags, orders, offline, refunds, agents, revokes, an operator, a clone, risk. */
  const NAMES = [
    ...['clone-of-a-device', 'lost-phone', 'lunch-rush-offline', 'midnight-window'],
    ...['one-order-two-people', 'refund-twice', 'revoke-in-flight', 'rogue-agent'],
    ...['step-up-by-risk', 'stolen-kiosk', 'power-cut-while-confirming', 'currency-mix-up'],
  ];
  test.each(NAMES)('comes to the same verdicts: %s', async (name) => {
    const traces = await played(name);
    expect(traces.length).toBeGreaterThan(0);
    for (const trace of traces) {
      const hidden = await redact(trace, `test ${name}`);
      for (const one of [trace, hidden]) {
        const { verdicts, reading } = await replay(readTrace(traceText(one), 'x'), PORTS);
        expect(verdicts.filter(({ isSame }) => !isSame)).toEqual([]);
        expect(reading?.now).toBe(reading?.then);
      }
      if (trace.id !== undefined) {
        expect(trace.verdicts.map(({ subject }) => subject)).toContain(trace.id);
      }
      expect(hidden.verdicts.map(({ outcome, reason }) => [outcome, reason])).toEqual(
        trace.verdicts.map(({ outcome, reason }) => [outcome, reason]),
      );
    }
  });

  test.each([3, 42])('comes to the same verdicts in a storm: seed %d', async (seed) => {
    let traces: readonly Trace[] = [];
    const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
    await runStorm(planOf(seed), ports, {
      watch: (observed, site) => void (traces = tracesIn(observed, site)),
    });
    let count = 0;
    const other: string[] = [];
    for (const trace of traces) {
      if (trace.obstacle !== undefined) continue;
      count += trace.verdicts.length;
      other.push(...(await differing(trace)));
    }
    expect(other).toEqual([]);
    expect(count).toBeGreaterThan(500);
  });

  test('says where it differs: another verdict, a flipped bit, a missing message', async () => {
    const trace = (await played('rogue-agent'))[3]!;
    const own = (outcome: string, reason?: string) => ({
      ...trace,
      verdicts: trace.verdicts.map((one) =>
        one.subject === trace.id ? { ...one, outcome, reason } : one,
      ),
    });
    expect(trace.verdicts.at(-1)).toMatchObject({ outcome: 'refused', reason: 'limit_window' });
    expect(await differing(trace)).toEqual([]);
    expect(await differing(own('refused', 'limit_count'))).toEqual([
      `✗ ${trace.id!.slice(0, 8)} refused (limit_count) (this payment); now refused (limit_window)`,
    ]);
    expect((await differing(own('captured')))[0]).toContain('captured (this payment); now refused');

    const last = trace.inputs.length - 1;
    const flipped = trace.inputs.map((one, n) =>
      n === last && one.what === 'message'
        ? { ...one, bytes: `${one.bytes.slice(0, -1)}${one.bytes.endsWith('0') ? '1' : '0'}` }
        : one,
    );
    expect((await differing({ ...trace, inputs: flipped }))[0]).toContain('now no verdict');
    // Without what was paid before, the window is not used up.
    const requests = trace.inputs.filter(
      ({ what, ...rest }) =>
        what === 'message' && 'topic' in rest && rest.topic.includes('request'),
    );
    const shorter = trace.inputs.filter((one) => one !== requests[0]);
    expect((await differing({ ...trace, inputs: shorter })).join()).toContain('now captured');
  });
});

describe('a redacted trace', () => {
  test('holds no name and no amount of before, in no sentence and in no signed byte', async () => {
    const traces = [
      ...(await played('one-order-two-people')),
      ...(await played('lunch-rush-offline')),
      ...(await played('rogue-agent')),
    ];
    for (const trace of traces) {
      const text = traceText(await redact(trace, 'test'));
      const bytes = text.replace(/[0-9a-f]{20,}/g, (hex) =>
        Buffer.from(hex, 'hex').toString('latin1'),
      );
      const secrets = [
        ...[
          'Luckin',
          '瑞幸',
          'luckin',
          'wang',
          'zhao',
          'butler',
          'acct-',
          'Noodles',
          'Tea',
          'till',
        ],
        ...['38.00', '28.00', '32.00', '25.50', '18.00', '45.00'],
      ];
      const found = secrets.filter(
        (secret) => text.includes(secret) || bytes.includes(Buffer.from(secret).toString('latin1')),
      );
      expect(found).toEqual([]);
      expect(text).not.toContain(trace.verdicts[0]!.subject);
    }
  });

  test('keeps a message that was forged a forged one', async () => {
    const [trace] = await played('step-up-by-risk');
    const inputs = trace!.inputs.map((one) =>
      one.what === 'message' && one.topic.includes('request')
        ? { ...one, bytes: `${one.bytes.slice(0, -1)}${one.bytes.endsWith('0') ? '1' : '0'}` }
        : one,
    );
    const forged = { ...trace!, inputs };
    const own = await differing(forged);
    expect(own).toHaveLength(1);
    expect(await differing(await redact(forged, 'test'))).toHaveLength(1);
  });

  test('is another one each time, and names the same thing the same way', async () => {
    const [, trace] = await played('one-order-two-people');
    const [one, other] = [await redact(trace!, 'a'), await redact(trace!, 'b')];
    expect(one.statements).not.toEqual(other.statements);
    expect(one.id).not.toBe(other.id);
    const sheet = sheetOf(one).map(({ text }) => text);
    expect(sheet.join('\n')).toMatch(
      /shown \(needs P2\): 1 × Item A .*元 · 2 × Item B .*向店铺A支付/,
    );
    expect(sheet.join('\n')).toContain('bridge: refused (order_paid)');
  });
});

describe('a trace', () => {
  test('shows what was said, shown, done, signed, sent and decided, in that order', async () => {
    const [trace] = await played('step-up-by-risk');
    const sheet = sheetOf(trace!).map(({ text }) => text.replace(/^ +\d+\.\d+ s {2}/, ''));
    const wanted = [
      'NOT redacted: names and amounts are real',
      'pay 12.00 yuan to luckin',
      'person: “pay 12 yuan to Luckin Coffee”',
      'shown (needs P1): Pay 12.00 yuan to Luckin Coffee? Say “confirm payment” or tap the temple.',
      'person: confirms',
      'said: Paying…',
      'bridge: refused (risk_step_up)',
      'device: refused (risk_step_up)',
    ];
    const places = wanted.map((line) => sheet.indexOf(line));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places).not.toContain(-1);
    expect(sheet.join('\n')).toMatch(/wang-glasses → broker: request, \d+ bytes/);
  });

  test.each(['', '{}', 'null', '[]', '{"format":"saytap trace 1"}', '{"format":"saytap trace 2"}'])(
    'is refused when it is none: %j',
    (text) => {
      expect(() => readTrace(text, 'x.trace')).toThrow(/^x\.trace is no trace \(/);
    },
  );

  test('of any other shape is refused, never half read', async () => {
    const [trace] = await played('step-up-by-risk');
    const whole = JSON.parse(traceText(trace!)) as Record<string, unknown>;
    const fields = Object.keys(whole).filter((name) => !['id', 'obstacle'].includes(name));
    const wrong = fc.constantFrom<unknown>(undefined, null, 7.5, 'x y', [7], [{}], { what: 1 });
    fc.assert(
      fc.property(fc.constantFrom(...fields), wrong, (name, value) => {
        fc.pre(!(typeof value === 'string' && ['device', 'root'].includes(name)));
        const text = JSON.stringify({ ...whole, [name]: value });
        expect(() => readTrace(text, 'x')).toThrow(/^x is no trace \(/);
      }),
    );
    expect(readTrace(traceText(trace!), 'x')).toEqual(JSON.parse(traceText(trace!)));
  });

  test('gives no orders to a terminal', async () => {
    const [trace] = await played('step-up-by-risk');
    const evil = '\u001b]0;owned\u0007\u202e\n';
    const told = { atMs: 1, what: 'told', kind: `paid${evil}`, reason: evil } as const;
    const said = { atMs: 1, what: 'said', to: 'person', sentence: evil } as const;
    const one = {
      ...trace!,
      ...{ id: evil, device: evil, obstacle: evil, moments: [told, said] },
      hops: [{ atMs: 1, from: evil, to: evil, topic: evil, bytes: 1, fate: 'lost' }],
      verdicts: [{ atMs: 1, subject: evil, outcome: evil, reason: evil }],
    };
    const read = readTrace(JSON.stringify(one), 'x');
    const { verdicts } = await replay(read, PORTS);
    const lines = [...sheetOf(read), ...replayLines(read, verdicts)];
    expect(lines.map(({ text }) => text).join('')).toMatch(/paid�]0;owned�/);
    for (const { text } of lines) expect(text).not.toMatch(/\p{C}/u);
  });

  test('that lasts for ever, or is of no time, is refused', async () => {
    const trace = (await played('lunch-rush-offline')).find((one) =>
      one.inputs.some(({ what }) => what === 'lease'),
    )!;
    const first = trace.inputs.findIndex(({ what }) => what === 'lease');
    const changed = (fields: object) => ({
      inputs: trace.inputs.map((one, n) => (n === first ? { ...one, ...fields } : one)),
    });
    for (const fields of [
      ...[changed({ atMs: 1e300 }), changed({ atMs: 1e15 }), { startMs: 9e15 }],
      ...[changed({ iat: -5 }), changed({ exp: 9e15 }), changed({ count: 0 })],
      ...[changed({ nonce: '00' }), changed({ minor: '9999999999999999999' })],
      { inputs: trace.inputs.map((one) => ({ ...one, clockMs: 1e300 })) },
    ]) {
      const text = JSON.stringify({ ...trace, ...fields });
      expect(() => readTrace(text, 'x')).toThrow(/^x is no trace \(/);
    }
  });

  test('whose inputs cannot have been is told, and ends no program', async () => {
    const trace = (await played('lunch-rush-offline')).find(
      ({ inputs }) => inputs.filter(({ what }) => what === 'lease').length > 1,
    )!;
    const inputs = trace.inputs.map((one) =>
      one.what === 'lease' ? { ...one, nonce: 'ab'.repeat(8) } : one,
    );
    const read = readTrace(JSON.stringify({ ...trace, inputs }), 'x');
    await expect(replay(read, PORTS)).rejects.toMatchObject({ reason: 'malformed' });
  });
});
