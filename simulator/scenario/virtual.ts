/** A stage in virtual time: a world of its own, in which a day takes a second. */
import { operate } from '../../broker/operator.ts';
import { payloadOf } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { createChance } from '../chance.ts';
import type { Observed } from '../observed.ts';
import type { FaultKind } from '../plan.ts';
import { buildSite } from '../site.ts';
import { type Heard, type World, type WorldPorts, createWorld } from '../world.ts';
import { type Cast, fundingOf } from './cast.ts';
import { siteCastOf } from './site.ts';
import type { AgentPayment, Breaking, Stage } from './stage.ts';

/** A stage of this cast. The same cast and seed behave the same, to the byte. */
export async function createVirtualStage(
  cast: Cast,
  seed: string,
  ports: WorldPorts,
): Promise<Stage & Readonly<{ world: World; observed: readonly Observed[] }>> {
  const chance = createChance(`scenario ${seed}`);
  const site = await buildSite(siteCastOf(cast), 'EdDSA', chance.fork('site'));
  const heard = new Map<string, Heard[]>();
  const world = createWorld(site, chance, {
    ...ports,
    hears(machine, one) {
      heard.set(machine, [...(heard.get(machine) ?? []), one]);
    },
  });
  let count = 0;

  async function until(isSo: () => boolean, ms: number): Promise<boolean> {
    const endMs = world.nowMs() + ms;
    let isEnd = false;
    // Something happens at the end, so that time gets there.
    world.at(endMs, () => void (isEnd = true));
    while (!isSo()) {
      if (isEnd) return false;
      if (!(await world.step(endMs))) return isSo();
    }
    return true;
  }

  /** Lets a promise of the world settle. */
  async function settled<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
    let isSettled = false;
    const done = () => void (isSettled = true);
    promise.then(done, done);
    if (await until(() => isSettled, ms)) return promise;
    throw new OperatorError('failed', `${what} does not come to its end`);
  }

  function fault(kind: FaultKind): string {
    const name = `${++count}`;
    world.fault({ name, atMs: world.nowMs(), ...kind });
    return name;
  }

  function kindOf(at: string, breaking: Breaking): FaultKind {
    if (breaking.does === 'disk') {
      if (breaking.trouble === 'well') throw new Error('mended, not broken');
      return { fault: 'disk', machine: at, trouble: breaking.trouble };
    }
    const { trouble, share, ms, of } = breaking;
    if (at === 'network') {
      const hosts = of.length > 0 && { hosts: of };
      const more = trouble === 'cut' ? {} : { share, ...(trouble !== 'lose' && { ms }) };
      return { fault: 'network', ...hosts, trouble, ...more } as FaultKind;
    }
    if (at === 'risk') return { fault: 'risk', trouble, share } as FaultKind;
    return { fault: 'ledger', ledger: 'ledger', trouble, share } as FaultKind;
  }

  function ledger() {
    const database = world.stores.ledgers.get('ledger')!();
    if (!database) throw new OperatorError('failed', 'the ledger has no books');
    return database;
  }

  return Object.freeze({
    world,
    observed: world.observed,
    nowMs: world.nowMs,
    until,
    device: world.device,
    heard: (machine: string) => heard.get(machine) ?? [],
    see: (uri: string) => ({ kind: 'link', text: uri }) as const,
    granted: (person: string, holder: string) =>
      site.mandates.find((one) => one.wallet === person && one.holder === holder),
    async payAlone(name, shop, amount): Promise<AgentPayment> {
      const agent = world.agent(name);
      const mandate = site.mandates.find(({ holder }) => holder === name)!;
      const since = world.observed.length;
      const asked = { action: 'pay', mandate, payee: shop, minor: amount.minor } as const;
      const id = agent && (await settled(agent.request(asked), SIGN_MS, 'signing'));
      const refused = world.observed
        .slice(since)
        .find((one) => one.what === 'told' && one.device === name && one.kind === 'not_sent');
      const reason = refused?.what === 'told' ? refused.reason : undefined;
      return {
        id,
        reason: id === undefined ? (reason ?? 'unavailable') : undefined,
        receipt() {
          const stored = id === undefined ? undefined : world.device(name)?.outbox.get(id)?.receipt;
          return stored && receiptKind.decode(payloadOf(stored));
        },
      };
    },
    async stop(machine, how, calls) {
      const one = world.machine(machine);
      if (calls === undefined) one.kill(how, Infinity);
      else one.killAt(calls, 'after', how, Infinity);
    },
    async start(machine) {
      world.machine(machine).wake();
    },
    jump: (machine, ms) => world.machine(machine).clock.jump(ms),
    async strike(at, breaking) {
      const name = fault(kindOf(at, breaking));
      return async () => world.mend(name);
    },
    restartBroker: (downMs) => void fault({ fault: 'broker restart', downMs }),
    replaceBridge: () => void fault({ fault: 'replace bridge', downMs: MOVE_MS }),
    async backUp() {
      const since = world.observed.length;
      fault({ fault: 'back up bridge' });
      await until(() => world.observed.slice(since).some(isBackup), BACKUP_MS);
    },
    async restore() {
      fault({ fault: 'restore bridge', downMs: MOVE_MS });
    },
    async clone(machine) {
      const { name } = world.clone(machine);
      await until(() => world.device(name)?.link.state() === 'ready', READY_MS);
      return name;
    },
    async revoke(person, holder) {
      const since = world.observed.length;
      const all = holder === 'everything' && ({ all: true } as const);
      const first = site.mandates.find(({ wallet }) => wallet === person)!;
      world.act({
        ...{ act: 'revoke', name: `revoke ${++count}`, atMs: world.nowMs(), wallet: person },
        holder: all ? first.holder : holder,
        ...all,
      });
      await until(
        () => world.observed.slice(since).some(({ what }) => what === 'revoked'),
        SIGN_MS,
      );
    },
    async revokeKey(machine) {
      const bridge = world.bridge();
      if (!bridge) throw new OperatorError('failed', 'the bridge does not run');
      const { name } = site.devices.find((one) => one.name === machine)!.signer.key;
      const asked = { ask: 'set key', name, status: 'revoked', by: 'operator', why: 'lost' };
      await settled(operate(bridge, asked), SIGN_MS, 'revoking a key');
      const fields = { name, status: 'revoked' };
      const event = 'key revoked';
      world.observe({ what: 'logged', machine: 'operator', level: 'info', event, fields });
    },
    async balance(of) {
      const isPerson = cast.people.some(({ name }) => name === of);
      const kind = isPerson ? 'funding' : 'payee';
      const name = isPerson ? fundingOf(of) : of;
      const rows = ledger().prepare('SELECT id, balance FROM account WHERE kind = ?').all(kind);
      const own = rows.filter(({ id }) => String(id).split(/[: ]/).includes(name));
      return own.reduce((sum, { balance }) => sum + (balance as bigint), 0n);
    },
    async isBalanced() {
      const row = ledger().prepare('SELECT coalesce(sum(balance), 0) AS sum FROM account').get();
      return row?.['sum'] === 0n;
    },
    observe: world.observe,
    async end() {
      world.end();
    },
  } satisfies Stage & { world: World; observed: readonly Observed[] });
}

function isBackup(one: Observed): boolean {
  return one.what === 'disk' && one.machine === 'bridge' && one.path.startsWith('/backup');
}

const SIGN_MS = 30_000;
const MOVE_MS = 3_000;
const BACKUP_MS = 60_000;
const READY_MS = 30_000;
