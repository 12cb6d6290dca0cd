/**
 * What can be made to go wrong with real devices: links, clocks and disks that fail on purpose, and
 * a death in the middle of what a device does.
 *
 * It stands between a device and its ports, and not below the network, because then a fault befalls
 * one device of a process that runs many, and needs no rights. A device cannot tell the difference:
 * whatever is done here, a port may do (src/platform.ts).
 */
import { PaymentError } from '../src/errors.ts';
import {
  TROUBLE_AGAIN_MS,
  TROUBLE_CLOCK_MS,
  TROUBLE_HELD_MAX,
  TROUBLE_LATE_MS,
  TROUBLE_SHARE,
  TROUBLE_SLOW_MS,
} from '../src/limits.ts';
import type {
  Archive,
  Clock,
  Connect,
  Database,
  Files,
  Link,
  LinkEvents,
  LinkOptions,
  Random,
  SqlValue,
  Timers,
} from '../src/platform.ts';
import type {
  DeviceTrouble,
  LinkTrouble,
  SystemTrouble,
  TroubleName,
  TroubleView,
} from './page/wire.ts';

/** What a device asks of the outside world and does not get as it is. */
export type FaultyPorts = Readonly<{
  clock: Clock;
  timers: Timers;
  files: Files;
  archive: Archive;
  connect: Connect;
  openDatabase: (path: string) => Database;
}>;

/** One life of a device, from its start until it is stopped or killed. */
export type Life = Readonly<{
  ports: FaultyPorts;
  isOver: () => boolean;
  /**
   * As kill −9: from now on nothing that it does gets out and nothing reaches it, its connection
   * breaks without a goodbye, and its files are free for the next life.
   */
  kill: () => void;
}>;

/** A message at the edge of a device, and what befell it. */
export type Message = Readonly<{
  device: string;
  way: 'up' | 'down';
  topic: string;
  bytes: Uint8Array;
  fate: 'delivered' | 'lost' | 'late' | 'again';
}>;

/** What a relayed call meets; see relay.ts. */
export type CallFate = 'delivered' | 'slow' | 'refused' | 'lost' | 'again';

export type Troubles = Readonly<{
  /** The ports of a device's next life. */
  live: (device: string) => Life;
  /** Begins or ends a trouble of all, or of one device; the share counts where one is meant. */
  set: (name: StandingTrouble, isOn: boolean, device?: string, share?: number) => void;
  isOn: (name: StandingTrouble, device?: string) => boolean;
  /** What is on. */
  list: () => readonly TroubleView[];
  /** What the next call to a service meets. */
  call: (service: 'risk' | 'ledger') => CallFate;
}>;

/** Troubles that last until they are ended. */
export type StandingTrouble = LinkTrouble | DeviceTrouble | SystemTrouble;

export function createTroubles(
  ports: FaultyPorts &
    Readonly<{
      random: Random;
      /** Sees every message of every device, but for what is retained. */
      see: (message: Message) => void;
    }>,
): Troubles {
  const { timers, random } = ports;
  /** By name, and by name and device: the share. */
  const on = new Map<string, Readonly<{ view: TroubleView; share: number }>>();
  const lines = new Set<Line>();

  const shareOf = (name: StandingTrouble, device?: string): number =>
    (on.get(keyOf(name)) ?? on.get(keyOf(name, device)))?.share ?? 0;
  const isOn = (name: StandingTrouble, device?: string) =>
    on.has(keyOf(name)) || on.has(keyOf(name, device));
  /** 0 up to and without 1. */
  const chance = () => new DataView(random(4).buffer).getUint32(0) / 2 ** 32;
  const strikes = (name: StandingTrouble, device?: string) => chance() < shareOf(name, device);

  function live(device: string): Life {
    let isOver = false;
    const cancels = new Set<() => void>();
    const databases = new Set<Database>();
    const own = new Set<Line>();
    const killed = () => new PaymentError('unavailable', `${device} was killed`);
    const requireAlive = () => {
      if (isOver) throw killed();
    };
    const isFull = () => isOn('disk_full', device);

    const clock: Clock = {
      nowMs: () => ports.clock.nowMs() - (isOn('clock_back', device) ? TROUBLE_CLOCK_MS : 0),
      monotonicMs: ports.clock.monotonicMs,
    };
    const mortal: Timers = {
      after(ms, run) {
        if (isOver) return () => {};
        const cancel = timers.after(ms, () => {
          cancels.delete(cancel);
          if (!isOver) run();
        });
        cancels.add(cancel);
        return () => {
          cancels.delete(cancel);
          cancel();
        };
      },
      soon: (run) => timers.soon(() => (isOver ? undefined : run())),
    };
    const writing = <A extends unknown[]>(write: (...given: A) => void) => {
      return (...given: A) => {
        requireAlive();
        if (isFull()) throw full();
        write(...given);
      };
    };
    const reading = <A extends unknown[], R>(read: (...given: A) => R) => {
      return (...given: A): R => {
        requireAlive();
        return read(...given);
      };
    };
    const { files, archive } = ports;

    function openDatabase(path: string): Database {
      requireAlive();
      const real = ports.openDatabase(path);
      databases.add(real);
      const step = (sql: string) => {
        requireAlive();
        // As SQLite refuses: the statement has no effect, and its transaction is rolled back.
        if (isFull() && WRITES.test(sql)) {
          throw new PaymentError('unavailable', 'the disk is full', { cause: full() });
        }
      };
      return {
        ...real,
        prepare(sql) {
          requireAlive();
          const statement = real.prepare(sql);
          const guarded = <R>(run: (...values: readonly SqlValue[]) => R) => {
            return (...values: readonly SqlValue[]): R => {
              step(sql);
              return run(...values);
            };
          };
          return {
            run: guarded(statement.run),
            get: guarded(statement.get),
            all: guarded(statement.all),
          };
        },
        exec(sql) {
          step(sql);
          real.exec(sql);
        },
        transaction: reading(real.transaction) as Database['transaction'],
        commit: ((run) =>
          isOver ? Promise.reject(killed()) : real.commit(run)) as Database['commit'],
        durable: () => (isOver ? Promise.reject(killed()) : real.durable()),
        close() {
          if (databases.delete(real)) real.close();
        },
      };
    }

    return Object.freeze({
      ports: Object.freeze({
        clock,
        timers: mortal,
        files: {
          read: reading(files.read),
          create: writing(files.create),
          replace: writing(files.replace),
          erase: reading(files.erase),
          access: reading(files.access),
          folder: writing(files.folder),
          list: reading(files.list),
        },
        archive: {
          digest: reading(archive.digest),
          copy: writing(archive.copy),
          move: reading(archive.move),
          swap: reading(archive.swap),
        },
        connect(options: LinkOptions, events: LinkEvents) {
          if (isOver) return { publish() {}, renew() {}, close: async () => {} };
          const line = createLine(device, mortal, ports.connect, options, events);
          own.add(line);
          lines.add(line);
          return {
            ...line.link,
            async close() {
              own.delete(line);
              lines.delete(line);
              await line.link.close();
            },
          };
        },
        openDatabase,
      }),
      isOver: () => isOver,
      kill() {
        if (isOver) return;
        isOver = true;
        for (const cancel of cancels) cancel();
        for (const line of own) {
          lines.delete(line);
          line.tear();
        }
        // A database keeps what is committed, whether or not anybody waited for it.
        for (const database of databases) database.close();
        databases.clear();
      },
    });
  }

  // ── links ──────────────────────────────────────────────────────────────────────────────────

  function createLine(
    device: string,
    mortal: Timers,
    connect: Connect,
    options: LinkOptions,
    events: LinkEvents,
  ): Line {
    let isTorn = false;
    /** What the device was told last. */
    let told: 'up' | 'down' = 'down';
    /** While nothing gets through: something happened that the device has not been told. */
    let isMissing = false;
    let held = 0;
    const barred = () => isOn('cut', device) || isOn('half_open', device);
    const tell = (state: 'up' | 'down', why: string) => {
      told = state;
      events.state(state, why);
    };
    const real = connect(options, {
      message: (topic, bytes) => carry('down', topic, bytes, () => events.message(topic, bytes)),
      state(state, why) {
        if (isTorn) return;
        if (barred()) isMissing = true;
        else tell(state, why);
      },
    });

    /** Lets a message arrive, or not, or late, or twice. */
    function carry(way: Message['way'], topic: string, bytes: Uint8Array, arrive: () => void) {
      if (isTorn) return;
      const see = (fate: Message['fate']) => ports.see({ device, way, topic, bytes, fate });
      if (barred() || strikes('drop', device)) return see('lost');
      const slowMs = isOn('slow', device) ? TROUBLE_SLOW_MS : 0;
      const lateMs = strikes('reorder', device) ? Math.ceil(chance() * TROUBLE_LATE_MS) : 0;
      if (held < TROUBLE_HELD_MAX && strikes('duplicate', device)) {
        later(slowMs + lateMs + TROUBLE_AGAIN_MS, () => see('again'), arrive);
      }
      if (slowMs + lateMs === 0) {
        see('delivered');
        return arrive();
      }
      if (held >= TROUBLE_HELD_MAX) return see('lost');
      later(slowMs + lateMs, () => see('late'), arrive);
    }

    /** What is on its way when the line is cut does not arrive. */
    function later(ms: number, see: () => void, arrive: () => void): void {
      held++;
      mortal.after(ms, () => {
        held--;
        if (isTorn || barred()) return;
        see();
        arrive();
      });
    }

    return {
      device,
      link: {
        publish(topic, bytes, qos, retain) {
          // What a device says of itself is no message of a payment, and goes as it is.
          if (retain) return barred() ? undefined : real.publish(topic, bytes, qos, retain);
          carry('up', topic, bytes, () => real.publish(topic, bytes, qos));
        },
        renew() {
          if (!barred()) return real.renew();
          // A new connection is not made either: the device learns what it suspected.
          isMissing = true;
          if (told === 'up') tell('down', 'no answer');
        },
        close: () => real.close(),
      },
      bar(name) {
        if (name !== 'cut') return;
        isMissing = true;
        real.renew();
        if (told === 'up') tell('down', 'the line is cut');
      },
      mend() {
        // A connection that is made anew, so that the device is told when it stands.
        if (isMissing) real.renew();
        isMissing = false;
      },
      tear() {
        isTorn = true;
        real.renew();
        // After the broker has noticed: a goodbye would take the will back.
        timers.after(TEAR_MS, () => void real.close());
      },
    };
  }

  return Object.freeze({
    live,
    set(name: StandingTrouble, isNowOn: boolean, device?: string, share?: number) {
      const before = new Map([...lines].map((line) => [line, barredBy(line)]));
      const key = keyOf(name, device);
      on.delete(key);
      if (isNowOn) {
        const own = SHARED.has(name) ? (share ?? TROUBLE_SHARE) : 1;
        const view: TroubleView = {
          ...{ name, on: true },
          ...(device !== undefined && { device }),
          ...(SHARED.has(name) && { share: own }),
        };
        on.set(key, { view, share: own });
      }
      for (const [line, was] of before) {
        const is = barredBy(line);
        if (is && is !== was) line.bar(is);
        else if (was && !is) line.mend();
      }
    },
    isOn,
    list: () => [...on.values()].map(({ view }) => view),
    call(service: 'risk' | 'ledger'): CallFate {
      if (service === 'risk') {
        return isOn('risk_down') ? 'refused' : isOn('risk_slow') ? 'slow' : 'delivered';
      }
      if (isOn('ledger_slow')) return 'slow';
      if (strikes('ledger_lost')) return 'lost';
      return strikes('ledger_twice') ? 'again' : 'delivered';
    },
  });

  function barredBy({ device }: Line): 'cut' | 'half_open' | undefined {
    if (isOn('cut', device)) return 'cut';
    return isOn('half_open', device) ? 'half_open' : undefined;
  }
}

type Line = Readonly<{
  device: string;
  link: Link;
  /** Nothing gets through from now on; after a cut the device is told. */
  bar: (by: 'cut' | 'half_open') => void;
  mend: () => void;
  /** Breaks it for good, without a goodbye. */
  tear: () => void;
}>;

/** Those that befall a share of what there is. */
const SHARED: ReadonlySet<TroubleName> = new Set([
  'drop',
  'duplicate',
  'reorder',
  'ledger_lost',
  'ledger_twice',
]);

/** Below MQTT_RECONNECT_MS, so that it does not connect once more. */
const TEAR_MS = 100;

const WRITES = /^\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER)\b/i;

function keyOf(name: TroubleName, device = ''): string {
  return `${name} ${device}`;
}

function full(): Error {
  const error = new Error('ENOSPC: no space left on device, write');
  return Object.assign(error, { code: 'ENOSPC', syscall: 'write' });
}
