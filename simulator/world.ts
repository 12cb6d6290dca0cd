/**
 * A world: the product's own devices and bridge on simulated machines, people and a network between
 * them, and everything that is seen of it from outside.
 *
 * It carries out what it is told, acts and faults, and decides nothing; whether its promises hold
 * is the checker's business. One event happens at a time, in an order that the seed fixes.
 */
import { hash } from 'node:crypto';
import { posix } from 'node:path';
import { makeBackup, restoreBackup } from '../broker/backup.ts';
import { openHistory } from '../broker/risk/history.ts';
import { type OpenBridge, openBridge, takeNotice } from '../broker/compose.ts';
import { openBooks } from '../broker/ledger/books.ts';
import { type KeyView, type Question, operate } from '../broker/operator.ts';
import { prepareSchema } from '../broker/store/schema.ts';
import type { Frame } from '../device/confirm.ts';
import { type RunningGlasses, type RunningKiosk, startDevice } from '../device/compose.ts';
import { OUTBOX_FILE } from '../device/salvage.ts';
import { prepareTables } from '../device/tables.ts';
import { toHex } from '../src/bytes.ts';
import { payloadOf } from '../src/cose.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { seal } from '../src/objects/kind.ts';
import { identify } from '../src/cose.ts';
import type { Clock, Connect, Database, Timers } from '../src/platform.ts';
import { downFilter, upTopic } from '../src/topics.ts';
import { type Agent, createAgent } from './agent.ts';
import type { Chance } from './chance.ts';
import type { DiskFaults, Life } from './database.ts';
import { type Disks, type Snapshot } from './disk.ts';
import { type Machine, type Ports, type Program, createMachine, describe } from './machine.ts';
import { Died, isTold } from './machine.ts';
import type { Attached } from './ways.ts';
import { createForger } from './forger.ts';
import { createRogue } from './rogue.ts';
import { createNetwork } from './network.ts';
import type { Observe, Observed, Sight } from './observed.ts';
import { type Body, createPeople } from './person.ts';
import type { Act, DiskTrouble, Fault } from './plan.ts';
import { LEDGER_DATABASE, RISK_DATABASE, createLedger, createRisk } from './services.ts';
import { HOME, type Site, type SiteDevice } from './site.ts';
import { createMachineClock, createTimeline } from './time.ts';

/** What a world needs of the real one. */
export type WorldPorts = Readonly<{
  /** Calls back when all promises that can settle have. */
  turn: Timers['soon'];
  /** Made once for all worlds of a process. */
  disks: Disks;
  /** Told of everything that a device shows and says, with the machine that it runs on. */
  hears?: (machine: string, heard: Heard) => void;
  /** Calls back for errors that nobody handled, until the returned function is called. */
  hearUnhandled: (hear: (error: unknown) => void) => () => void;
}>;

/** What a device showed, or said to whoever stands there or to its staff. */
export type Heard =
  | Readonly<{ what: 'asked'; frame: Frame; sentence: string; wants: string }>
  | Readonly<{ what: 'said'; to: 'person' | 'staff'; sentence: string }>;

export type World = Readonly<{
  site: Site;
  nowMs: () => number;
  observed: readonly Observed[];
  /** Takes down what somebody did who is none of its people. */
  observe: Observe;
  /** The running program of a device; undefined while it is dark. */
  device: (machine: string) => RunningGlasses | RunningKiosk | undefined;
  /** The key that acts alone on a machine that runs. */
  agent: (name: string) => Agent | undefined;
  machine: (name: string) => Machine;
  /** Runs a copy of a device's disk beside it; returns the copy's machine. */
  clone: (machine: string) => Machine;
  /** Ends one fault. */
  mend: (fault: string) => void;
  /** The next event until then; false when there is none. */
  step: (untilMs: number) => Promise<boolean>;
  /** Calls back at a moment. */
  at: (ms: number, run: () => void) => void;
  act: (act: Act) => void;
  fault: (fault: Fault) => void;
  /** Keeps what a machine's disk holds now, for whoever restores it later. */
  keep: (machine: string) => void;
  /** Everything is whole again, and nobody begins anything new. */
  heal: () => void;
  /** Nothing is under way any more: every program runs, and nothing it keeps is open. */
  isQuiet: () => boolean;
  /** The running bridge, for its operator. */
  bridge: () => OpenBridge | undefined;
  /** Databases as the next program would find them. */
  stores: Readonly<{
    bridge: () => Database | undefined;
    ledgers: ReadonlyMap<string, () => Database | undefined>;
    outbox: (device: string) => Database | undefined;
  }>;
  /** SHA-256 over all that was seen, hex. */
  hash: () => string;
  end: () => void;
}>;

/** Puts a world together and starts all of its programs. */
export function createWorld(site: Site, chance: Chance, ports: WorldPorts): World {
  const timeline = createTimeline(ports.turn);
  const observed: Observed[] = [];
  const observe = (sight: Sight) => {
    observed.push({ atMs: timeline.nowMs(), sequence: observed.length, ...sight });
  };
  const crash = (machine: string, error: unknown) => {
    observe({ what: 'crash', machine, error: describe(error) });
  };
  const stopHearing = ports.hearUnhandled((error) => {
    if (!(error instanceof Died)) crash('unknown', error);
  });
  const network = createNetwork({ chance: chance.fork('network'), timeline, observe });
  const machines = new Map<string, Machine>();
  const kept = new Map<string, { atMs: number; snapshot: Snapshot }[]>();

  function machineOf(name: string, snapshot: Snapshot | undefined): Machine {
    const own = chance.fork(`machine ${name}`);
    const disk = ports.disks({
      chance: own.fork('disk'),
      after: timeline.after,
      observe: (path, event) => observe({ what: 'disk', machine: name, path, event }),
      ...(snapshot && { snapshot }),
    });
    const clock = createMachineClock(timeline, {
      startMs: site.startMs + own.between(-400, 400),
      ppm: own.between(-40, 40),
    });
    const parts = { name, timeline, chance: own, clock, disk, network, observe };
    const machine = createMachine(parts);
    machines.set(name, machine);
    if (snapshot) kept.set(name, [{ atMs: 0, snapshot }]);
    return machine;
  }

  /** With its tables: all of this worked yesterday, and making them costs more than a payment. */
  const withTables = (
    files: Snapshot | undefined,
    path: string,
    fill: (database: Database) => void,
  ): Snapshot => {
    const content = ports.disks.filled(path, fill);
    const file = [path, { mode: 0o600, content }] as const;
    const { files: others = [], folders = ['/'] } = files ?? {};
    return { files: new Map([...others, file]), folders };
  };

  for (const { wallet, id, envelope } of site.mandates) {
    observe({ what: 'granted', wallet, id, envelope });
  }

  // ── services ───────────────────────────────────────────────────────────────────────────────

  const { environment } = site.realm;
  const risk = createRisk(site.secrets.risk, chance.fork('risk'), environment);
  machineOf(
    'risk',
    withTables(undefined, RISK_DATABASE, (database) => openHistory({ database, clock: STOPPED })),
  ).run(risk.program);
  const ledgers = new Map(
    site.ledgers.map((name) => [
      name,
      createLedger(site.secrets.ledger, chance.fork(name), name, NOTICE_URL, environment),
    ]),
  );
  for (const [name, ledger] of ledgers) {
    const machine = machineOf(
      name,
      withTables(undefined, LEDGER_DATABASE, (database) => openBooks({ database, clock: STOPPED })),
    );
    openAccounts(machine);
    machine.run(ledger.program);
  }

  function openAccounts({ disk, clock }: Machine): void {
    const database = disk.mount(FOREVER).openDatabase(LEDGER_DATABASE);
    const books = openBooks({ database, clock });
    for (const { funding, balance, signer } of site.wallets) {
      const wallet = signer.key.name;
      const money = { currency: site.currency, minor: balance };
      books.openFunding({ funding, wallet, balance: money });
    }
    database.close();
  }

  // ── the bridge ─────────────────────────────────────────────────────────────────────────────

  const bridgeMachine = machineOf(
    'bridge',
    withTables(site.bridge.disk, BRIDGE_DATABASE, prepareSchema),
  );
  let open: OpenBridge | undefined;
  let bridgePorts: Ports | undefined;
  /** Whether it finds the policy that was in force before. */
  let isOutdated = false;
  const runBridge: Program = async (own) => {
    open = undefined;
    bridgePorts = own;
    const { signerOf, bridge } = site;
    const connect: Connect = (options, events) =>
      own.connect(options, {
        ...events,
        message(topic, bytes) {
          observe({ what: 'taken', topic, bytes, clockMs: own.clock.nowMs() });
          events.message(topic, bytes);
        },
      });
    const { path, before } = site.policies;
    const read = (name: string) => (name === path ? before : own.files.read(name));
    const files = isOutdated ? { ...own.files, read } : own.files;
    const opened = await openBridge(bridge.config, at, { ...own, files, connect, signerOf });
    open = opened;
    own.serve(NOTICE_PORT, (question) => takeNotice(opened.bridge, question));
    await opened.connect({ url: BROKER_URL, password: undefined });
    return { failed: opened.failed };
  };
  const bridgeNow = () => (bridgeMachine.isAlive() ? open : undefined);
  bridgeMachine.run(runBridge);

  // ── devices and people ─────────────────────────────────────────────────────────────────────

  const bodies = new Map<string, Body>();
  const agents = new Map<string, () => Agent | undefined>();
  const people = createPeople({
    site,
    timeline,
    bodyOf: (name) => bodies.get(name),
    observe,
    crash,
  });

  /** A surface that whoever listens hears too. */
  function listened(machine: string, surface: ReturnType<typeof people.surfaceOf>) {
    const { hears } = ports;
    if (!hears) return surface;
    const said =
      (to: 'person' | 'staff', say: typeof surface.say): typeof surface.say =>
      (sentence, mood) => {
        hears(machine, { what: 'said', to, sentence });
        say(sentence, mood);
      };
    const asked: typeof surface.ask = (frame, sentence, wants) => {
      hears(machine, { what: 'asked', frame, sentence, wants });
      surface.ask(frame, sentence, wants);
    };
    return { say: said('person', surface.say), staff: said('staff', surface.staff), ask: asked };
  }

  function runDevice(device: SiteDevice, machine: Machine): void {
    let running: RunningGlasses | RunningKiosk | undefined;
    let agent: Agent | undefined;
    const isAlive = () => machine.isAlive();
    const { name } = machine;
    const body: Body = { name, device, running: () => (isAlive() ? running : undefined) };
    bodies.set(name, body);
    const { say, ask, staff } = listened(name, people.surfaceOf(body));
    const program: Program = (own) => {
      running = undefined;
      people.dark(name);
      const more = { signerOf: site.signerOf, codeWasm: noPictures };
      running = startDevice(device.config, at, { ...own, ...more }, { say, ask }, staff);
      if (device.kind === 'agent' && running.kind === 'glasses') {
        const { realm } = site;
        const { signer } = device;
        agent = createAgent({ name: device.name, realm, signer, running, log: own.log, observe });
      }
      return { failed: running.failed };
    };
    if (device.kind === 'agent') agents.set(device.name, () => (isAlive() ? agent : undefined));
    machine.run(program);
  }

  for (const [n, device] of site.devices.entries()) {
    const machine = machineOf(
      device.name,
      withTables(device.disk, OUTBOX, (database) => prepareTables(database, 'any')),
    );
    timeline.after(100 + 37 * n, () => runDevice(device, machine));
  }

  // ── agents and wallets ─────────────────────────────────────────────────────────────────────

  function actAlone(act: Extract<Act, { act: 'agent' }>): void {
    const own = site.mandates.filter(({ holder }) => holder === act.agent);
    const mandate = chance.fork(act.name).pick(own);
    const { payee, then } = act;
    const minor = BigInt(act.minor);
    const asking = agents.get(act.agent)?.();
    const action = then ? 'hold' : 'pay';
    const run = async () => {
      const id = await asking?.request({ action, mandate, payee, minor });
      if (!then || id === undefined) return;
      timeline.after(then.afterMs, () => {
        const asked = { action: then.deed, mandate, payee, minor, original: id } as const;
        void agents.get(act.agent)?.()?.request(asked).catch(fail);
      });
    };
    const fail = (error: unknown) => {
      if (!(error instanceof Died)) crash(act.agent, error);
    };
    void run().catch(fail);
  }

  /** A wallet's phone sends its revoke until the bridge has answered. */
  async function revoke(act: Extract<Act, { act: 'revoke' }>): Promise<void> {
    const wallet = site.wallets.find(({ name }) => name === act.wallet)!;
    const mandate = site.mandates.find(
      ({ holder, wallet: owner }) => holder === act.holder && owner === act.wallet,
    );
    if (!mandate) return;
    const iat = Math.floor((site.startMs + timeline.nowMs()) / 1000);
    const target = act.all ? { epoch: 2 } : { mandate: mandate.id };
    const value = { payer: wallet.payer, iat, ...target };
    const envelope = await seal(revokeKind, value, site.realm, wallet.signer);
    const { id } = identify(envelope, site.realm, revokeKind.name);
    observe({ what: 'revoked', wallet: wallet.name, id, envelope });
    const phone = `phone-${act.name.replaceAll(/\W/g, '-')}`;
    let isUp = false;
    let isAnswered = false;
    const link = network.attach(phone, FOREVER).connect(
      { url: BROKER_URL, clientId: phone, subscriptions: [{ topic: downFilter(phone), qos: 1 }] },
      {
        message(_topic, payload) {
          isAnswered ||= receiptKind.decode(payloadOf(payload)).subject === id;
        },
        state: (state) => void (isUp = state === 'up'),
      },
    );
    const send = () => {
      if (isAnswered) return void link.close();
      if (isUp) link.publish(upTopic(phone, 'revoke'), envelope, 1);
      timeline.after(PHONE_MS, send);
    };
    timeline.after(PHONE_SOON_MS, send);
  }

  // ── who means no good, and who looks after it ──────────────────────────────────────────────

  const forge = createForger({
    ...{ site, observed, observe, insert: network.insert },
    chance: chance.fork('forger'),
  });
  const rogues = new Map(
    site.rogues.map(({ name }) => {
      const { connect } = network.attach(name, FOREVER);
      const fail = (error: unknown) => crash(name, error);
      const own = { site, name, timeline, connect, url: BROKER_URL, observed, observe, fail };
      return [name, createRogue({ ...own, chance: chance.fork(name) })];
    }),
  );
  /** Mandates that the operator has suspended. */
  const suspended = new Set<string>();

  async function operateOn(act: Extract<Act, { act: 'operator' }>): Promise<void> {
    const running = bridgeNow();
    if (!running) return;
    const ask = (question: Question) => operate(running, question);
    const why = { by: 'operator', why: act.name };
    const note = (event: string, fields: Readonly<Record<string, string>>) =>
      observe({ what: 'logged', machine: 'operator', level: 'info', event, fields });
    try {
      if (act.suspends !== undefined) {
        const own = site.mandates.find(({ holder }) => holder === act.suspends);
        if (!own) return;
        const { id } = own;
        suspended.add(id);
        await ask({ ask: 'set mandate', id, status: 'suspended', ...why });
        return note('mandate suspended', { mandate: id });
      }
      const keys = (await ask({ ask: 'keys' })) as readonly KeyView[];
      for (const { name, status } of keys) {
        if (status !== 'suspended') continue;
        await ask({ ask: 'set key', name, status: 'active', ...why });
        note('key resumed', { name, status: 'active' });
      }
      for (const id of suspended) await ask({ ask: 'set mandate', id, status: 'active', ...why });
    } catch (error) {
      if (!(error instanceof Died) && !isTold(error)) crash('operator', error);
    }
  }

  function act(one: Act): void {
    switch (one.act) {
      case 'agent':
        return actAlone(one);
      case 'revoke':
        return void revoke(one);
      case 'operator':
        return void operateOn(one);
      case 'forge':
        return void forge(one).catch((error: unknown) => crash('forger', error));
      case 'rogue':
        return rogues.get(one.rogue)?.(one);
      default:
        return people.act(one);
    }
  }

  // ── faults ─────────────────────────────────────────────────────────────────────────────────

  /** What ends every fault that is not over by itself. */
  const undo = new Map<string, () => void>();
  const troubles = new Map<string, Map<string, DiskTrouble>>();
  const clones = new Set<Machine>();
  let backups = 0;
  let newest: string | undefined;
  let isHealed = false;

  function fault(one: Fault): void {
    if (isHealed) return;
    observe({ what: 'fault', fault: one });
    const end = strike(one);
    undo.set(one.name, end);
    if (one.untilMs === undefined) return;
    timeline.after(one.untilMs - timeline.nowMs(), () => heal(one));
  }

  function heal(one: Fault): void {
    const end = undo.get(one.name);
    if (!end) return;
    undo.delete(one.name);
    end();
    observe({ what: 'heal', fault: one });
  }

  /** Returns what makes it whole again. */
  function strike(one: Fault): () => void {
    const own = chance.fork(`fault ${one.name}`);
    switch (one.fault) {
      case 'kill':
      case 'power cut':
        machines.get(one.machine)!.kill(one.fault, one.downMs);
        return nothing;
      case 'die at call':
        machines.get(one.machine)!.killAt(one.call, one.side, one.how, one.downMs);
        return nothing;
      case 'replace bridge':
        bridgeMachine.kill('power cut', one.downMs);
        bridgeMachine.clock.jump(own.between(-2_000, 2_000));
        observe({ what: 'life', machine: 'bridge', event: 'replaced' });
        return nothing;
      case 'back up bridge':
        void backUp();
        return nothing;
      case 'restore bridge':
        restoreBridge(one.downMs);
        return nothing;
      case 'old policy':
        isOutdated = true;
        bridgeMachine.kill('kill', DEPLOYED_MS);
        return () => void (isOutdated = false);
      case 'restore device': {
        const machine = machines.get(one.machine)!;
        const atMs = timeline.nowMs() - one.ageMs;
        const old =
          kept.get(one.machine)!.findLast((copy) => copy.atMs <= atMs) ??
          kept.get(one.machine)![0]!;
        machine.kill('power cut', RESTORED_MS);
        machine.disk.restore(old.snapshot);
        observe({ what: 'life', machine: one.machine, event: 'restored' });
        return nothing;
      }
      case 'clone device':
        return steal(one.machine, own);
      case 'clock jump': {
        const { clock } = machines.get(one.machine)!;
        clock.jump(one.ms);
        return () => clock.jump(-one.ms);
      }
      case 'clock drift': {
        const { clock } = machines.get(one.machine)!;
        clock.drift(one.ppm);
        return () => clock.drift(0);
      }
      case 'disk':
        return strikeDisk(one.machine, one.name, one.trouble);
      case 'network':
        return network.strike(one);
      case 'partition':
        return network.strike({ trouble: 'cut', hosts: one.hosts });
      case 'broker restart':
        network.restartBroker(one.downMs);
        return nothing;
      case 'risk':
        return risk.strike(one.trouble, one.share);
      case 'ledger':
        return ledgers.get(one.ledger)!.strike(one.trouble, one.share);
    }
  }

  function strikeDisk(name: string, fault: string, trouble: DiskTrouble): () => void {
    const present = troubles.get(name) ?? new Map<string, DiskTrouble>();
    troubles.set(name, present);
    const { disk } = machines.get(name)!;
    const apply = () => {
      const all = [...present.values()].map((each) => DISK_FAULTS[each]);
      disk.strike(Object.assign({}, ...all) as DiskFaults);
    };
    present.set(fault, trouble);
    apply();
    return () => {
      present.delete(fault);
      apply();
    };
  }

  async function backUp(): Promise<void> {
    const own = bridgePorts!;
    const running = bridgeNow();
    if (!running) return;
    const folder = `/backup-${++backups}`;
    try {
      const parts = { ...own, operate: (question: unknown) => operate(running, question) };
      await makeBackup(parts, PLACE(site), folder, () => {});
      newest = folder;
    } catch (error) {
      if (!(error instanceof Died) && !isTold(error)) crash('bridge', error);
    }
  }

  function restoreBridge(downMs: number): void {
    const folder = newest;
    if (folder === undefined) return;
    bridgeMachine.kill('kill', Infinity);
    bridgeMachine.tool(
      async (own) => {
        const parts = { ...own, isRunning: async () => false };
        await restoreBackup(parts, PLACE(site), folder, () => {});
        observe({ what: 'life', machine: 'bridge', event: 'restored' });
      },
      () => bridgeMachine.kill('kill', downMs),
    );
  }

  /** A copy of a device's disk runs beside it. */
  function clone(name: string): Machine {
    const { device } = bodies.get(name)!;
    const copy = `${name}-clone-${clones.size + 1}`;
    const machine = machineOf(copy, machines.get(name)!.disk.snapshot());
    clones.add(machine);
    observe({ what: 'life', machine: copy, event: 'cloned' });
    runDevice(device, machine);
    return machine;
  }

  /** Somebody runs a copy, and tries to pay with it. */
  function steal(name: string, own: Chance): () => void {
    const machine = clone(name);
    const copy = machine.name;
    if (bodies.get(name)!.device.kind === 'glasses') {
      for (const afterMs of [6_000, 20_000]) {
        timeline.after(afterMs, () =>
          people.act({
            ...{ act: 'pay', name: `theft ${copy} ${afterMs}`, atMs: timeline.nowMs() },
            ...{ device: copy, payee: own.pick(site.payees).id, minor: own.between(1_00, 40_00) },
            ...{ how: 'voice', isAttentive: true, mood: 'sure', thinkMs: 900 },
          }),
        );
      }
    }
    return () => {
      machine.kill('power cut', Infinity);
      clones.delete(machine);
    };
  }

  return Object.freeze({
    site,
    nowMs: timeline.nowMs,
    observed,
    observe,
    device: (name: string) => bodies.get(name)?.running(),
    agent: (name: string) => agents.get(name)?.(),
    machine: (name: string) => machines.get(name)!,
    clone,
    mend(name: string) {
      const one = observed.findLast((seen) => seen.what === 'fault' && seen.fault.name === name);
      if (one?.what === 'fault') heal(one.fault);
    },
    step: timeline.step,
    at: (ms: number, run: () => void) => void timeline.after(ms - timeline.nowMs(), run),
    act,
    fault,
    keep(name: string) {
      const { disk } = machines.get(name)!;
      kept.get(name)!.push({ atMs: timeline.nowMs(), snapshot: disk.snapshot() });
    },
    heal() {
      isHealed = true;
      for (const end of undo.values()) end();
      undo.clear();
      for (const machine of machines.values()) {
        if (!machine.name.includes('-clone-')) machine.wake();
      }
      people.goHome();
      observe({ what: 'healed' });
    },
    isQuiet() {
      const store = bridgeNow() && bridgeMachine.disk.peek(BRIDGE_DATABASE);
      if (!store || store.prepare(OPEN_RUNS).get() !== undefined) return false;
      return site.devices.every(({ name }) => {
        const running = bodies.get(name)?.running();
        // An order that nobody pays ends by itself, in ten minutes.
        const isOver = () => running!.outbox.open().every(({ kind }) => kind === 'order');
        return running?.link.state() === 'ready' && isOver();
      });
    },
    bridge: bridgeNow,
    stores: {
      bridge: () => bridgeMachine.disk.peek(BRIDGE_DATABASE),
      ledgers: new Map(
        site.ledgers.map((name) => [name, () => machines.get(name)!.disk.peek(LEDGER_DATABASE)]),
      ),
      outbox: (device: string) => machines.get(device)?.disk.peek(OUTBOX),
    },
    hash: () => hash('sha256', observed.map(lineOf).join('\n')),
    end() {
      stopHearing();
      for (const machine of machines.values()) {
        machine.kill('kill', Infinity);
        machine.disk.release();
      }
    },
  });
}

const at = (path: string) => posix.resolve(HOME, path);
const nothing = () => {};
const BROKER_URL = 'mqtt://broker:1883';
const NOTICE_PORT = 7200;
const NOTICE_URL = `http://bridge:${NOTICE_PORT}`;
const OUTBOX = `${HOME}/data/${OUTBOX_FILE}`;
const BRIDGE_DATABASE = `${HOME}/data/bridge.db`;
const OPEN_RUNS = 'SELECT 1 FROM runs WHERE receipt IS NULL LIMIT 1';
/** A phone asks again after so long, and first when it can have connected. */
const PHONE_MS = 5_000;
const PHONE_SOON_MS = 300;
/** How long it takes to start a bridge with other files. */
const DEPLOYED_MS = 500;
/** How long it takes to put an old disk into a device. */
const RESTORED_MS = 5_000;

/** Tables are made without a look at it. */
const STOPPED: Clock = Object.freeze({ nowMs: () => 0, monotonicMs: () => 0 });

/** Somebody who is no program of this world and never dies. */
const FOREVER: Attached & Life = Object.freeze({
  isDead: () => false,
  step: () => {},
  callback: (run) => run,
});

const DISK_FAULTS: Readonly<Record<DiskTrouble, DiskFaults>> = Object.freeze({
  full: { isFull: true },
  'failing write': { failingWrites: 0.3 },
  'failing sync': { failingSyncs: 0.1 },
  slow: { syncMs: [20, 400] },
});

const PLACE = ({ bridge }: Site) => ({ config: bridge.config, file: `${HOME}/bridge.yaml`, at });

function noPictures(): never {
  throw new Error('nobody in a world looks at pictures: they look at links');
}

/** One line for what was seen, the same on every machine. */
function lineOf(one: Observed): string {
  return JSON.stringify(one, (_key, value: unknown) => {
    if (value instanceof Uint8Array) return toHex(value);
    return typeof value === 'bigint' ? String(value) : value;
  });
}
