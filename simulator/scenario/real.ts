/**
 * A stage of real programs: bridge, risk service and ledger as processes, devices on real ports in
 * this one, as `saytap start` composes them; time is real.
 *
 * Things break here as they break outside: a process is killed, a service comes back with other
 * settings, a line is cut. What only a world can do is refused before anything starts
 * (feasible.ts).
 */
import { join, resolve } from 'node:path';
import { type RunningGlasses, type RunningKiosk, startDevice } from '../../device/compose.ts';
import type { DevicePorts } from '../../device/compose.ts';
import { makeCode } from '../../device/surface/code.ts';
import { codePng } from '../../device/surface/picture.ts';
import type { Surface } from '../../device/surface/port.ts';
import { toHex, utf8 } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { SCENARIO_LOOK_MS } from '../../src/limits.ts';
import { seal } from '../../src/objects/kind.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { revoke as revokeKind } from '../../src/objects/revoke.ts';
import type { Connect, Http, Link } from '../../src/platform.ts';
import { type Agent, createAgent } from '../agent.ts';
import type { Chance } from '../chance.ts';
import type { Snapshot } from '../disk.ts';
import type { Observed, Sight } from '../observed.ts';
import { HOME, type Site, type SiteDevice, buildSite } from '../site.ts';
import { createTeller } from '../teller.ts';
import type { Heard } from '../world.ts';
import { type Cast, fundingOf } from './cast.ts';
import { siteCastOf } from './site.ts';
import type { AgentPayment, Breaking, Stage } from './stage.ts';

/** What runs beside this process: the product's programs, by their command. */
export type Child = Readonly<{
  said: string;
  /** Ends it as SIGTERM does, and as SIGKILL does. */
  stop: () => Promise<void>;
  kill: () => Promise<void>;
}>;

export type RealPorts = DevicePorts &
  Readonly<{
    http: Http;
    /** Runs `saytap PROGRAM --config FILE`; resolves once it runs. */
    run: (program: 'bridge' | 'risk' | 'ledger', file: string) => Promise<Child>;
    /** A question to the operator's socket of a bridge. */
    ask: (socket: string, question: string) => Promise<string | undefined>;
  }>;

/** Installs a cast in `folder` and starts all of it. Throws OperatorError. */
export async function createRealStage(
  cast: Cast,
  chance: Chance,
  folder: string,
  ports: RealPorts,
): Promise<Stage & Readonly<{ site: Site; observed: readonly Observed[] }>> {
  const { clock, timers, files } = ports;
  const startMs = Math.floor(clock.nowMs() / 1000) * 1000;
  const site = await buildSite(siteCastOf({ ...cast, startMs }), 'ES256', chance);
  const sinceMs = clock.monotonicMs() - (clock.nowMs() - startMs);
  const nowMs = () => clock.monotonicMs() - sinceMs;
  const observed: Observed[] = [];
  const observe = (sight: Sight) => {
    observed.push({ atMs: nowMs(), sequence: observed.length, ...sight });
  };
  const heard = new Map<string, Heard[]>();
  const devices = new Map<string, RunningGlasses | RunningKiosk>();
  const agents = new Map<string, Agent>();
  const switches = new Map<string, Switch>();
  const children = new Map<string, Child>();
  /** What each program is told; a service that comes back keeps its port. */
  const settings = new Map<string, object>();

  const at = (...names: string[]) => join(folder, ...names);
  for (const { name, disk } of site.devices) unpack(disk, at(name));
  unpack(site.bridge.disk, at('bridge'));
  for (const name of ['risk', 'ledger'] as const) {
    files.folder(at(name));
    files.replace(at(name, 'secret'), utf8(toHex(site.secrets[name])), 0o600);
  }

  function unpack({ files: contents, folders }: Snapshot, to: string): void {
    files.folder(to);
    for (const path of folders) {
      if (path.startsWith(`${HOME}/`)) files.folder(join(to, path.slice(HOME.length + 1)));
    }
    for (const [path, { content }] of contents) {
      if (content instanceof Uint8Array) {
        files.replace(join(to, path.slice(HOME.length + 1)), content, 0o600);
      }
    }
  }

  // ── processes ──────────────────────────────────────────────────────────────────────────────

  async function run(program: 'bridge' | 'risk' | 'ledger', more: object = {}): Promise<string> {
    const file = at(program, `${program}.yaml`);
    const whole = { ...settings.get(program), ...more };
    // JSON is YAML.
    files.replace(file, utf8(JSON.stringify(whole)), 0o600);
    const child = await ports.run(program, file);
    children.set(program, child);
    const url = urlIn(child.said);
    const listen = { host: HOST, port: Number(new URL(url).port) };
    const place = program === 'bridge' ? { mqtt: { listen } } : { listen };
    settings.set(program, { ...settings.get(program), ...place });
    return url;
  }

  async function end(program: string, how: 'stop' | 'kill'): Promise<void> {
    const child = children.get(program);
    children.delete(program);
    await child?.[how]();
  }

  async function again(program: 'risk' | 'ledger', more: object): Promise<void> {
    await end(program, 'stop');
    await run(program, more);
  }

  const listen = { host: HOST, port: 0 };
  settings.set('risk', { listen, database: 'risk.db', secret: 'secret' });
  settings.set('ledger', { listen, database: 'ledger.db', secret: 'secret' });
  try {
    const risk = await run('risk');
    const ledger = await run('ledger');
    const teller = createTeller({ ...ports, url: ledger, secret: site.secrets.ledger });
    for (const { funding, signer, balance } of site.wallets) {
      await teller.open(funding, signer.key.name, { currency: site.currency, minor: balance });
    }
    settings.set('bridge', {
      ...site.bridge.config,
      mqtt: { listen },
      risk: { url: risk, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: ledger, secret: 'ledger.secret' }],
      log: 'error',
    });
    const broker = await run('bridge');
    for (const device of site.devices) devices.set(device.name, start(device, broker));
    return Object.freeze({ ...stageOver(teller), site, observed });
  } catch (error) {
    await endAll();
    throw error;
  }

  function start(device: SiteDevice, url: string): RunningGlasses | RunningKiosk {
    const { name } = device;
    const line = createSwitch(name, ports, observe);
    switches.set(name, line);
    const say =
      (to: 'person' | 'staff'): Surface['say'] =>
      (sentence, mood) => {
        hear(name, { what: 'said', to, sentence });
        observe({ what: 'said', device: name, to, sentence, mood });
      };
    const ask: Surface['ask'] = (frame, sentence, wants) => {
      hear(name, { what: 'asked', frame, sentence, wants });
    };
    const running = startDevice(
      { ...device.config, mqtt: { url } },
      (path) => resolve(at(name), path),
      { ...ports, connect: line.connect, log: () => {} },
      { say: say('person'), ask },
      say('staff'),
    );
    if (device.kind === 'agent' && running.kind === 'glasses') {
      const { realm } = site;
      const { signer } = device;
      agents.set(name, createAgent({ name, realm, signer, running, log: () => {}, observe }));
    }
    return running;
  }

  function hear(machine: string, one: Heard): void {
    heard.set(machine, [...(heard.get(machine) ?? []), one]);
  }

  async function endAll(): Promise<void> {
    for (const device of devices.values()) await device.stop();
    for (const program of ['bridge', 'ledger', 'risk']) await end(program, 'stop');
  }

  // ── the stage ──────────────────────────────────────────────────────────────────────────────

  function stageOver(teller: ReturnType<typeof createTeller>): Stage {
    const pause = (ms: number) => new Promise<void>((done) => void timers.after(ms, done));
    const operate = async (question: object) => {
      const told = await ports.ask(at('bridge', 'data', 'operator.sock'), JSON.stringify(question));
      if (told === undefined) throw new OperatorError('failed', 'the bridge does not run');
    };
    return {
      nowMs,
      async until(isSo, ms) {
        const endMs = nowMs() + ms;
        while (!isSo()) {
          const leftMs = endMs - nowMs();
          if (leftMs <= 0) return false;
          await pause(Math.min(SCENARIO_LOOK_MS, leftMs));
        }
        return true;
      },
      device: (machine) => devices.get(machine),
      heard: (machine) => heard.get(machine) ?? [],
      see: (uri) => ({ kind: 'picture', png: codePng(makeCode(uri), 6) }),
      granted: (person, holder) =>
        site.mandates.find((one) => one.wallet === person && one.holder === holder),
      async payAlone(name, shop, amount): Promise<AgentPayment> {
        const mandate = site.mandates.find(({ holder }) => holder === name)!;
        const since = observed.length;
        const asked = { action: 'pay', mandate, payee: shop, minor: amount.minor } as const;
        const id = await agents.get(name)!.request(asked);
        const refused = observed
          .slice(since)
          .find((one) => one.what === 'told' && one.device === name);
        const reason = refused?.what === 'told' ? refused.reason : undefined;
        return {
          id,
          reason: id === undefined ? (reason ?? 'unavailable') : undefined,
          receipt() {
            const stored =
              id === undefined ? undefined : devices.get(name)?.outbox.get(id)?.receipt;
            return stored && receiptKind.decode(payloadOf(stored));
          },
        };
      },
      stop: (machine) => end(machine, 'kill'),
      async start(machine) {
        if (machine === 'bridge' && !children.has(machine)) await run(machine);
      },
      jump: impossible,
      strike: (where, breaking) => strike(where, breaking),
      restartBroker: impossible,
      replaceBridge: impossible,
      backUp: impossible,
      restore: impossible,
      clone: impossible,
      async revoke(person, holder) {
        const wallet = site.wallets.find(({ name }) => name === person)!;
        const mandate = site.mandates.find((one) => one.wallet === person && one.holder === holder);
        const iat = Math.floor(clock.nowMs() / 1000);
        const target = mandate && holder !== 'everything' ? { mandate: mandate.id } : { epoch: 2 };
        const value = { payer: wallet.payer, iat, ...target };
        const envelope = await seal(revokeKind, value, site.realm, wallet.signer);
        await operate({ ask: 'take revoke', envelope: toHex(envelope) });
      },
      async revokeKey(machine) {
        const { name } = site.devices.find((one) => one.name === machine)!.signer.key;
        await operate({ ask: 'set key', name, status: 'revoked', by: 'operator', why: 'lost' });
        const fields = { name, status: 'revoked' };
        const event = 'key revoked';
        observe({ what: 'logged', machine: 'operator', level: 'info', event, fields });
      },
      async balance(of) {
        const isPerson = cast.people.some(({ name }) => name === of);
        const name = isPerson ? `funding:${fundingOf(of)}` : `payee:${cast.currency}:${of}`;
        const own = (await teller.balances()).find(({ account }) => account === name);
        return own?.money.minor ?? 0n;
      },
      isBalanced: () => teller.isBalanced(),
      observe,
      end: endAll,
    };
  }

  async function strike(where: string, breaking: Breaking): Promise<() => Promise<void>> {
    if (breaking.does === 'disk') return impossible();
    const { trouble, of, share } = breaking;
    if (where === 'network') {
      const own = of.length > 0 ? of : [...switches.keys()];
      for (const name of own) switches.get(name)?.cut();
      return async () => own.forEach((name) => switches.get(name)?.mend());
    }
    const service = where === 'risk' ? 'risk' : 'ledger';
    if (trouble === 'away') {
      await end(service, 'kill');
      return async () => void (await run(service));
    }
    const strict = { thresholds: { stepUp: 0, deny: trouble === 'deny' ? 0 : SCORE_MAX } };
    await again(service, service === 'risk' ? strict : { faults: { [trouble]: share } });
    return () => again(service, {});
  }
}

const HOST = '127.0.0.1';
/** No decision of the risk service has a higher score. */
const SCORE_MAX = 1000;

/** A line that can be cut: then nothing goes either way, and the device notices at once. */
type Switch = Readonly<{ connect: Connect; cut: () => void; mend: () => void }>;

function createSwitch(
  name: string,
  { connect, clock }: Pick<RealPorts, 'connect' | 'clock'>,
  observe: (sight: Sight) => void,
): Switch {
  let isCut = false;
  const lines = new Set<Readonly<{ link: Link; tell: (state: 'up' | 'down') => void }>>();
  const fate = 'delivered' as const;
  return {
    connect(options, events) {
      const link = connect(options, {
        message(topic, bytes) {
          if (isCut) return;
          observe({ what: 'wire', from: 'bridge', to: name, topic, bytes, fate });
          events.message(topic, bytes);
        },
        state: (state, why) => (isCut ? undefined : events.state(state, why)),
      });
      const line = { link, tell: (state: 'up' | 'down') => events.state(state, 'the line') };
      lines.add(line);
      return {
        publish(topic, bytes, qos, retain) {
          if (isCut) return;
          observe({ what: 'wire', from: name, to: 'bridge', topic, bytes, fate });
          observe({ what: 'taken', topic, bytes, clockMs: clock.nowMs() });
          link.publish(topic, bytes, qos, retain);
        },
        renew: () => (isCut ? undefined : link.renew()),
        close() {
          lines.delete(line);
          return link.close();
        },
      };
    },
    cut() {
      isCut = true;
      for (const { tell } of lines) tell('down');
    },
    mend() {
      isCut = false;
      // Subscriptions are in force again before it is told to be up.
      for (const { link } of lines) link.renew();
    },
  };
}

/** Refused by feasible.ts before anything was started. */
function impossible(): never {
  throw new OperatorError('failed', 'this cannot be done with real programs');
}

/** The address in a program’s first line. */
function urlIn(said: string): string {
  const url = /\w+:\/\/[^\s,]+/.exec(said)?.[0];
  if (!url) throw new OperatorError('failed', `expected an address, heard “${said}”`);
  return url;
}
