/**
 * The promise of the device: however often it is killed, whatever the network and the broker do,
 * what a person confirmed is paid exactly once, everything else never, and nobody is told
 * otherwise.
 *
 * Method: the real program is driven through its standard input (person.ts) and killed with SIGKILL
 * at seeded moments, some of them counted from a line that was just read, while a real Mosquitto is
 * killed and started again and a proxy cuts, delays and repeats (weather.ts). Then all is healed,
 * and what was typed and read is compared with the ledger and with the bridge's own tables.
 *
 * What was confirmed is exact only at its ends. Who read "Paying…" has his payment on disk: it must
 * be paid. Who typed a yes and read nothing may have been too late: paid once or not at all, and
 * told so. Whoever typed no yes pays nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLists } from '../../broker/ledger/lists.ts';
import { STORY } from '../../simulator/install.ts';
import { toHex } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { reasonName } from '../../src/errors.ts';
import { openKeyFile } from '../../src/keyfile.ts';
import { files } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { CHANNELS, request as requestKind } from '../../src/objects/request.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { nodeSigner } from '../../src/signer.ts';
import { signMandate } from '../../src/wallet.ts';
import { seeded, sleep } from '../broker/storm.ts';
import { requirePart } from '../parts.ts';
import { createSite, freePort } from '../site.ts';
import { damage } from './damage.ts';
import { type End, type Sign, createPerson, yuanOf } from './person.ts';
import { startWeather } from './weather.ts';

const isFull = process.env['SAYTAP_FULL'] !== undefined;
const KILLS = isFull ? 300 : 12;
const RESTARTS = isFull ? 20 : 2;
const DAMAGES = isFull ? 40 : 3;
const SEED = Number(process.env['SAYTAP_SEED'] ?? 20_261_120);
const mosquitto = requirePart('mosquitto');

test(
  `kill -9: ${KILLS} times the device, ${RESTARTS} times its broker (SAYTAP_SEED=${SEED})`,
  async (context) => {
    if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
    const next = seeded(SEED);
    const site = await createSite({ thresholds: { stepUp: 1001, deny: 1001 } });
    onTestFinished(site.close);
    await grantMuch(site.folder);
    const port = await freePort();
    let broker = await startMosquitto(site.folder, mosquitto.path, port);
    const weather = await startWeather(port, seeded(SEED + 1));
    onTestFinished(async () => {
      await weather.close();
      await broker.kill();
    });
    const bridge = await site.openBridge({ url: `mqtt://127.0.0.1:${port}` });
    const config = site.glassesAt(weather.url);
    await site.teller.deposit('ab'.repeat(16), STORY.funding, {
      currency: STORY.currency,
      minor: 1_000_000_00n,
    });
    const key = readFileSync(join(site.folder, 'glasses', 'device.key.pem'));
    const person = createPerson(config, next);

    let restarts = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      const life = person.live(endOf(next), () => false);
      // The broker dies in the middle of a life, and is away for a moment.
      if (restarts * KILLS < (kill - 0.5) * RESTARTS && ++restarts) {
        await sleep(next(2_500));
        await broker.kill();
        await sleep(next(400));
        broker = await startMosquitto(site.folder, mosquitto.path, port);
      }
      expect(await life, 'killed, not ended by itself').toBeNull();
      if (kill % 25 === 0) console.log(`${kill} kills, ${person.wishes.length} wishes`);
    }
    weather.calm();
    const ending = () => person.transcript.slice(-20).join('\n');
    expect(await person.live(undefined, () => true), ending()).toBe(0);
    // A refusal names no payment, so the person may have left too soon; the program says so.
    for (let lingerMs = 1_000; person.isLeftOpen() && lingerMs < 60_000; lingerMs *= 2) {
      expect(await person.live(undefined, () => true, { lingerMs }), ending()).toBe(0);
    }
    expect(person.isLeftOpen(), ending()).toBe(false);
    // One more life after the last word: nothing is left, and nothing is told twice.
    const saidBefore = person.transcript.length;
    expect(await person.live(undefined, () => true)).toBe(0);
    const late = person.transcript.slice(saidBefore).filter((line) => /Paid|Not paid/.test(line));

    const captured = await capturesOf(site);
    await bridge.stop();
    const requests = requestsOf(site.folder);
    const { wishes } = person;
    const refused = requests.filter(({ reason }) => reason === 'limit_count');
    const count = (test: (wish: (typeof wishes)[number]) => boolean) => wishes.filter(test).length;
    const unsure = wishes.filter(({ isConfirmed, isKept }) => isConfirmed && !isKept);
    console.log(
      `${KILLS} kills, ${restarts} broker restarts, ${JSON.stringify(weather.met)}: ` +
        `${wishes.length} wishes, ${count(({ isKept }) => isKept)} kept, ` +
        `${unsure.length} confirmed at the moment of a kill, of which ` +
        `${unsure.filter(({ fen }) => captured.has(fen)).length} were paid; ` +
        `${captured.size} paid, ${refused.length} refused`,
    );

    expect(person.strange).toEqual([]);
    expect(late).toEqual([]);
    expect(
      count(({ told }) => told.includes('refused')) + person.refusals(),
    ).toBeGreaterThanOrEqual(refused.length);
    for (const wish of wishes) {
      const run = requests.find(({ fen }) => fen === wish.fen);
      const { isConfirmed, isKept, told, fen } = wish;
      const times = captured.get(fen) ?? 0;
      const story = () =>
        `${yuanOf(wish)}: captured ${times} times, ${JSON.stringify(wish)}\n` +
        person.transcript.filter((line) => line.includes(`${yuanOf(wish)} yuan`)).join('\n');
      const isNo = told.includes('cancelled') || run?.reason === 'limit_count';
      if (isKept && !isNo) expect(times, story()).toBe(1);
      expect(times, story()).toBeLessThanOrEqual(isConfirmed && !isNo ? 1 : 0);
      expect(times, story()).toBe(run?.outcome === 'captured' ? 1 : 0);
      if (times === 1) expect(told.at(-1), story()).toBe('paid');
      if (told.includes('paid')) expect(times, story()).toBe(1);
      for (const no of ['cancelled', 'refused', 'not_sent'] as const) {
        if (told.includes(no)) expect(times, story()).toBe(0);
      }
    }
    // Nothing but what somebody typed a yes for has ever reached the bridge, each once.
    const asked = requests.map(({ fen }) => fen);
    expect(new Set(asked).size).toBe(asked.length);
    for (const fen of asked)
      expect(wishes[fen - 1], `${fen} fen`).toMatchObject({ isConfirmed: true });
    // One after the other: who asked later has the higher counter, and none was used twice.
    const counters = requests.toSorted((a, b) => a.fen - b.fen).map(({ counter }) => counter);
    for (const [i, counter] of counters.entries()) {
      if (i > 0) expect(counter).toBeGreaterThan(counters[i - 1]!);
    }
    expect(await site.teller.isBalanced()).toBe(true);
    expect(toHex(readFileSync(join(site.folder, 'glasses', 'device.key.pem')))).toBe(toHex(key));

    // What would make this test prove nothing.
    expect(restarts).toBe(RESTARTS);
    expect(captured.size).toBeGreaterThan(KILLS / 4);
    if (isFull) expect(refused.length).toBeGreaterThan(0);
    expect(Math.min(weather.met.cuts, weather.met.repeats, weather.met.delays)).toBeGreaterThan(0);
  },
  isFull ? 3_600_000 : 600_000,
);

test(
  `an outbox damaged between two lives, ${DAMAGES} times (SAYTAP_SEED=${SEED})`,
  async () => {
    const next = seeded(SEED + 2);
    const met = { setAside: 0, suspended: 0, goesOn: 0 };
    for (let round = 1; round <= DAMAGES; round++) {
      const site = await createSite({ thresholds: { stepUp: 1001, deny: 1001 } });
      await grantMuch(site.folder);
      try {
        const bridge = await site.openBridge({ listen: { host: '127.0.0.1', port: 0 } });
        const at = (...names: string[]) => join(site.folder, 'glasses', ...names);
        const person = createPerson(site.glassesAt(bridge.mqttUrl), next);
        const key = readFileSync(at('device.key.pem'));
        const paid = () => person.wishes.filter(({ told }) => told.includes('paid')).length;

        expect(
          await person.live({ after: 'sending', times: 2, ms: next(30) }, () => false),
        ).toBeNull();
        const names = readdirSync(at()).filter((name) => /^outbox\.db(-wal)?$/.test(name));
        // The first one for sure beyond what SQLite can read.
        if (round === 1)
          writeFileSync(at('outbox.db'), readFileSync(at('outbox.db')).fill(0, 0, 100));
        const how = names.map((name) => `${name}: ${damage(at(name), next)}`).join(', ');
        const before = paid();
        const isSuspended = () => person.strange.some((line) => /copied|suspended/.test(line));
        const isEnough = () => isSuspended() || paid() > before + 1;
        const story = () => `round ${round}, ${how}\n${person.transcript.join('\n')}`;
        expect(await person.live(undefined, isEnough, { patienceMs: 3_000 }), story()).toBe(0);

        const isSetAside = readdirSync(at()).some((name) => name.includes('.damaged-'));
        const isTold = person.transcript.some((line) =>
          line.includes('was damaged and is set aside'),
        );
        expect(isTold, story()).toBe(isSetAside);
        expect(isSuspended() && !isSetAside, story()).toBe(false);
        if (isSetAside) met.setAside++;
        if (isSuspended()) met.suspended++;
        else met.goesOn++;
        const captured = await capturesOf(site);
        for (const { fen, isConfirmed, isKept, told } of person.wishes) {
          const times = captured.get(fen) ?? 0;
          expect(times, story()).toBeLessThanOrEqual(isConfirmed ? 1 : 0);
          if (isKept && !isSetAside && !told.includes('cancelled') && !told.includes('refused')) {
            expect(times, story()).toBe(1);
          }
          if (told.includes('paid')) expect(times, story()).toBe(1);
          for (const no of ['cancelled', 'refused', 'not_sent'] as const) {
            if (told.includes(no)) expect(times, story()).toBe(0);
          }
        }
        expect(toHex(readFileSync(at('device.key.pem')))).toBe(toHex(key));
      } finally {
        await site.close();
      }
    }
    console.log(`${DAMAGES} damages under the program: ${JSON.stringify(met)}`);
    expect(met.setAside).toBeGreaterThan(0);
  },
  isFull ? 1_800_000 : 300_000,
);

/** Half of the lives end at any time, from before the first line on; half soon after a line. */
function endOf(next: (below: number) => number): NonNullable<End> {
  if (next(2) === 0) return { after: 'start', times: 1, ms: next(4_000) };
  // Most of them around the moment in which the payment gets to the disk.
  const yes = Array.from({ length: 5 }, () => 'confirmed' as const);
  const signs: readonly Sign[] = ['question', ...yes, 'sending', 'paid'];
  return {
    after: signs[next(signs.length)]!,
    times: 1 + next(3),
    ms: next(4) === 0 ? 0 : next(40),
  };
}

/** A mandate that no storm uses up, but now and then refuses, in the place of the story's. */
async function grantMuch(folder: string): Promise<void> {
  const wallet = nodeSigner(openKeyFile(files, join(folder, 'wallet.key.pem'), 'ES256'));
  const glasses = openKeyFile(files, join(folder, 'glasses', 'device.key.pem'), 'ES256');
  const nowS = Math.floor(Date.now() / 1000);
  const much = { max: 10n ** 9n, count: 100_000 };
  const grant = {
    ...{ nbf: nowS - 60, exp: nowS + 86_400, iat: nowS, cnf: nodeSigner(glasses).key.name },
    ...{ funding: STORY.funding, currency: STORY.currency, perPaymentMax: 100_00n, epoch: 1 },
    channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look,
    windows: [
      { kind: 'total', ...much },
      // Whoever pays fast is refused by the bridge, which the device cannot know before.
      { kind: 'rolling', seconds: 8, max: 10n ** 9n, count: 4 },
    ],
    allow: [{ kind: 'payee', payee: STORY.payee }],
    bands: [{ ceiling: 100_00n, level: 1 }],
  } as const;
  const { envelope } = await signMandate(grant, 'a storm', STORY.realm, wallet);
  writeFileSync(join(folder, 'mandates', 'glasses.mandate'), envelope);
}

type Site = Awaited<ReturnType<typeof createSite>>;

/** How often each amount was captured at the ledger, in fen. */
async function capturesOf(site: Site): Promise<ReadonlyMap<number, number>> {
  const lists = createLists(site.signs);
  const found = new Map<number, number>();
  for (let after = 0; ;) {
    const page = await lists.transfers(after);
    for (const { kind, amount } of page) {
      const fen = Number(amount.minor);
      if (kind === 'pay') found.set(fen, (found.get(fen) ?? 0) + 1);
    }
    const last = page.at(-1);
    if (!last) return found;
    after = last.number;
  }
}

/** Everything that the bridge has accepted or refused. */
function requestsOf(folder: string) {
  const database = openDatabase(join(folder, 'bridge', 'bridge.db'));
  const rows = database.prepare('SELECT envelope, counter, outcome, receipt FROM runs').all();
  database.close();
  return rows.map(({ envelope, counter, outcome, receipt }) => {
    const { amount } = requestKind.decode(payloadOf(envelope as Uint8Array));
    const { reason = 0 } = receiptKind.decode(payloadOf(receipt as Uint8Array));
    return {
      fen: Number(amount!.minor),
      counter: Number(counter),
      outcome,
      reason: reasonName(reason),
    };
  });
}

/** A Mosquitto that keeps nothing; resolves once it accepts connections. */
async function startMosquitto(folder: string, path: string, port: number) {
  const file = join(folder, 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false', ''];
  writeFileSync(file, lines.join('\n'));
  const child: ChildProcess = spawn(path, ['-c', file], { stdio: 'ignore' });
  const gone = new Promise((done) => child.once('exit', done));
  const isOpen = () =>
    new Promise<boolean>((done) => {
      const socket = createConnection({ port, host: '127.0.0.1' }, () => done(true));
      socket.once('error', () => done(false));
      socket.once('connect', () => socket.destroy());
    });
  await expect.poll(isOpen, { timeout: 30_000 }).toBe(true);
  return {
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}
