/**
 * What stands behind the simulator's page: tells it everything that is seen of a system, and does
 * what it asks.
 *
 * It adds nothing of its own to what is told: devices say what they show, the ledger counts, the
 * bridge knows the mandates. A verb is answered when it has begun; what comes of it is an event.
 */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { fromBase64url, toBase64url, toHex } from '../src/bytes.ts';
import { type Realm, identify, kidOf, payloadOf } from '../src/cose.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { inspect, verify } from '../src/inspect.ts';
import { loadKey } from '../src/keys.ts';
import {
  SIM_ASK_MS,
  SIM_BYTES_MAX,
  SIM_LINES_MAX,
  SIM_LOOK_MS,
  UTTERANCE_CHARS_MAX,
} from '../src/limits.ts';
import { keyStatement } from '../src/objects/key.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import type { KindName } from '../src/objects/kinds.ts';
import type { Files, Listener } from '../src/platform.ts';
import { PROGRAM_VERSION } from '../src/version.ts';
import type { Sensed } from '../device/sense/sensed.ts';
import { makeCode } from '../device/surface/code.ts';
import { codePng } from '../device/surface/picture.ts';
import type { Surface } from '../device/surface/port.ts';
import { type Numbered, type Screen, createScreen } from '../device/surface/screen.ts';
import { type Touch, createTouch, touchForm } from '../device/touch.ts';
import { type Companion, createCompanion } from './companion.ts';
import { type Verb, defineVerb } from './gate.ts';
import { STORY } from './install.ts';
import {
  DEVICE_TROUBLES,
  type Detail,
  type Event,
  type Hello,
  LINK_TROUBLES,
  type Language,
  MOMENTS,
  SYSTEM_TROUBLES,
  type ScenarioView,
  type TagView,
  type TroubleName,
} from './page/wire.ts';
import { type Pipeline, createPipeline } from './pipeline.ts';
import { type Member, type System, type SystemPorts, startSystem } from './system.ts';
import { uriTag } from './tag.ts';
import { type Tally, createTally } from './tally.ts';

export type Host = Readonly<{
  system: System;
  verbs: Readonly<Record<string, Verb>>;
  /** Tells a page everything, and then what changes; returns what to do when it has gone. */
  begin: (listener: Listener) => () => void;
  /** A line of a story or a scenario. */
  narrate: (line: Omit<Extract<Event, { kind: 'narration' }>, 'kind'>) => void;
  stop: () => Promise<void>;
}>;

/** Plays something, telling line by line; resolves when it is over, with whether it went right. */
export type Play = Readonly<{
  view: ScenarioView;
  run: (
    tell: (text: string, mood?: 'scene' | 'good' | 'bad') => void,
    system: System,
  ) => Promise<boolean>;
}>;

/** Starts a system, with everything that watches it. Throws OperatorError as that does. */
export async function openHost(
  parts: Readonly<{
    folder: string;
    language: Language;
    ports: SystemPorts;
    progress: (line: string) => void;
    /** Where a device shows and says beside its screen on the page. */
    surfaceOf: (device: string) => Surface;
    plays: readonly Play[];
  }>,
): Promise<Host> {
  const { ports, plays } = parts;
  const { clock, timers, files } = ports;
  let { language } = parts;
  const listeners = new Set<Listener>();
  const lines: Event[] = [];
  const latest = new Map<string, Event>();
  const told = new Map<string, string>();
  const screens = new Map<string, Screen>();
  const worn = new Map<string, boolean>();
  /** The newest order of each kiosk that can be paid. */
  const orders = new Map<string, string>();
  let isStopped = false;
  let cancelLook = () => {};
  let askedMs = -Infinity;
  let isAsking = false;
  let playing: string | undefined;

  // ── what is told ───────────────────────────────────────────────────────────────────────────

  function emit(event: Event): void {
    const text = `data: ${JSON.stringify(event)}\n\n`;
    for (const listener of listeners) listener.send(text);
  }

  /** Emits what stands for itself, if it says something new. */
  function emitNews(name: string, event: Event): void {
    const text = JSON.stringify(event);
    if (told.get(name) === text) return;
    told.set(name, text);
    latest.set(name, event);
    emit(event);
  }

  const pipeline: Pipeline = createPipeline({ realm: STORY.realm, clock, emit });
  let tally: Tally | undefined;
  const early: [string, string, Uint8Array][] = [];

  function screenOf(device: string): Screen {
    const known = screens.get(device);
    if (known) return known;
    const screen = createScreen(timers);
    screens.set(device, screen);
    screen.watch((numbered) => show(device, numbered));
    return screen;
  }

  function show(device: string, { seq, shown }: Numbered): void {
    emit({ kind: 'shown', device, seq, shown });
    pipeline.shown(device, shown);
    if (shown.kind !== 'order') return;
    if (shown.state === 'open') orders.set(device, shown.uri);
    else if (orders.get(device) === shown.uri) orders.delete(device);
  }

  function surfaceOf(device: string): Surface {
    const { surface } = screenOf(device);
    const beside = parts.surfaceOf(device);
    return {
      ask(...given) {
        surface.ask(...given);
        beside.ask(...given);
      },
      say(...given) {
        surface.say(...given);
        beside.say(...given);
      },
    };
  }

  function sensed(device: string, one: Sensed): void {
    if (one.kind === 'worn') worn.set(device, one.how === 'on');
    pipeline.sensed(device, one);
  }

  const system = await startSystem({
    ...parts,
    surfaceOf,
    watch: {
      ...pipeline,
      sensed,
      stored(device, id, envelope) {
        pipeline.stored(device, id, envelope);
        if (tally) tally.asked(device, id, envelope);
        else early.push([device, id, envelope]);
      },
      receipt(device, id, receipt) {
        pipeline.receipt(device, id, receipt);
        askSoon();
      },
      member(member) {
        // Put together anew it takes itself for worn.
        if (member.life() !== 'up') worn.delete(member.name);
        lookSoon();
      },
    },
  });
  const companion: Companion = createCompanion({ system, files, clock });
  try {
    tally = await createTally({
      ledger: system.ledger,
      shelf: (device) => memberNamed(system, device)?.running()?.outbox,
    });
  } catch (error) {
    await system.stop();
    throw error;
  }
  for (const one of early.splice(0)) tally.asked(...one);

  // ── looking ────────────────────────────────────────────────────────────────────────────────

  function lookSoon(): void {
    if (isStopped) return;
    cancelLook();
    cancelLook = timers.after(0, () => void look());
  }

  function askSoon(): void {
    askedMs = -Infinity;
    lookSoon();
  }

  /** Looks at everything that nobody tells of; only while somebody listens. */
  async function look(): Promise<void> {
    cancelLook();
    if (isStopped || listeners.size === 0) return;
    cancelLook = timers.after(SIM_LOOK_MS, () => void look());
    for (const member of system.members()) emitNews(`device ${member.name}`, deviceEvent(member));
    emitNews('pairings', companion.pairings());
    if (isAsking) return;
    isAsking = true;
    try {
      emitNews('tally', await tally!.count());
      if (clock.monotonicMs() - askedMs < SIM_ASK_MS) return;
      askedMs = clock.monotonicMs();
      emitNews('mandates', await companion.mandates());
      emitNews('statement', await companion.statement());
    } finally {
      isAsking = false;
    }
  }

  function deviceEvent(member: Member): Event {
    const running = member.running();
    let open = 0;
    try {
      open = running?.outbox.waiting().open ?? 0;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error; // It dies while it is looked at.
    }
    return {
      kind: 'device',
      device: member.view,
      isOnline: running?.link.state() === 'ready',
      isWorn: worn.get(member.name) ?? true,
      open,
      life: member.life(),
    };
  }

  function hello(): Hello {
    return {
      kind: 'hello',
      version: PROGRAM_VERSION,
      language,
      currency: STORY.currency,
      payees: [{ id: STORY.payee, names: STORY.names }],
      catalogue: CATALOGUE,
      devices: system.members().map(({ view }) => view),
      troubles: allTroubles(system),
      scenarios: plays.map(({ view }) => view),
    };
  }

  function begin(listener: Listener): () => void {
    const send = (event: Event) => listener.send(`data: ${JSON.stringify(event)}\n\n`);
    send(hello());
    for (const member of system.members()) {
      send(deviceEvent(member));
      const { seq, shown } = screenOf(member.name).now();
      send({ kind: 'shown', device: member.name, seq, shown });
    }
    for (const [name, event] of latest) if (!name.startsWith('device ')) send(event);
    for (const event of pipeline.all()) send(event);
    for (const event of lines) send(event);
    send({ kind: 'now' });
    listeners.add(listener);
    void look();
    return () => void listeners.delete(listener);
  }

  function narrate(line: Omit<Extract<Event, { kind: 'narration' }>, 'kind'>): void {
    const event = { kind: 'narration', ...line } as const;
    lines.push(event);
    if (lines.length > SIM_LINES_MAX) lines.shift();
    emit(event);
  }

  // ── what is asked ──────────────────────────────────────────────────────────────────────────

  /** Lets it begin; what is refused at once is answered, what goes wrong later is narrated. */
  async function begun(doing: Promise<unknown>): Promise<void> {
    let isAnswered = false;
    const fault = doing.then(
      () => undefined,
      (error: unknown) => {
        if (!(error instanceof PaymentError || error instanceof OperatorError)) throw error;
        if (isAnswered) narrate({ by: 'simulator', text: error.message, mood: 'bad' });
        return error;
      },
    );
    const turn = new Promise<undefined>((done) => timers.soon(() => done(undefined)));
    const error = await Promise.race([fault, turn]);
    isAnswered = true;
    if (error instanceof OperatorError) throw new PaymentError('unavailable', error.message);
    if (error) throw error;
  }

  function touch(device: string, what: Touch): Promise<void> {
    const member = system.member(device);
    const running = () => {
      const one = member.running();
      if (!one) throw new PaymentError('unavailable', `${device} is off just now`);
      return one;
    };
    running();
    const folder = join(system.folder, member.folder);
    const take = createTouch({
      device: running,
      screen: screenOf(device),
      files,
      folder,
      language,
    });
    return begun(take(what));
  }

  async function setTrouble(asked: {
    name: TroubleName;
    on: boolean;
    device?: string | undefined;
    share?: number | undefined;
  }): Promise<void> {
    const { name, on, device, share } = asked;
    const isOfDevice = [...LINK_TROUBLES, ...DEVICE_TROUBLES].some((one) => one === name);
    if (device !== undefined) system.member(device);
    if (device !== undefined && !isOfDevice) {
      throw new PaymentError('malformed', `${name} befalls no single device`);
    }
    if (name === 'broker_restart') {
      if (!on) return;
      emit({ kind: 'trouble', name, on: true });
      const done = system.restartBroker().then(() => emit({ kind: 'trouble', name, on: false }));
      return begun(done);
    }
    system.troubles.set(name, on, device, share);
    const { list } = system.troubles;
    const view = list().find((one) => one.name === name && one.device === device);
    const off = { name, on: false, ...(device !== undefined && { device }) };
    emit({ kind: 'trouble', ...(view ?? off) });
    if (name !== 'bridge_away') return;
    await begun(on ? system.stopProgram('bridge') : system.startProgram('bridge'));
    askSoon();
  }

  async function detail(payment: string, number: number): Promise<Detail> {
    const found = pipeline.find(payment, number);
    if (!found) throw new PaymentError('original_unknown', 'this message is not known any more');
    const { hop, view } = found;
    const bytes = hop.bytes === undefined ? undefined : fromBase64url(hop.bytes);
    const isJson = hop.what === 'risk' || hop.what === 'money';
    const kind: KindName | undefined =
      hop.what === 'stored' || hop.what === 'request'
        ? 'request'
        : hop.what === 'query' || hop.what === 'receipt'
          ? hop.what
          : undefined;
    const id = view.request;
    return {
      ...(bytes && isJson && { json: spread(bytes) }),
      ...(bytes && kind && examine(system, files, bytes, kind)),
      decision: id === undefined ? [] : await decisionOn(system, id),
      postings: (id === undefined ? [] : tally!.moved(id)).map((one) => ({
        ...{ from: one.debit, to: one.credit, kind: one.kind },
        amount: { currency: one.amount.currency, minor: String(one.amount.minor) },
      })),
    };
  }

  function tagsOf(kiosk: string): readonly TagView[] {
    const member = system.member(kiosk);
    const order = orders.get(kiosk);
    const granted = files.read(join(system.folder, member.mandate));
    const payer = granted && identify(granted, STORY.realm, mandateKind.name).id;
    const tag = (kind: TagView['kind'], uri: string): TagView => {
      return { kind, uri, message: toBase64url(uriTag(uri)) };
    };
    return [
      ...(order === undefined ? [] : [tag('order', order)]),
      tag('payee', `saytap://payee/${STORY.payee}?amount=CNY6.00`),
      ...(payer === undefined ? [] : [tag('payer', `saytap://payer/${payer}`)]),
      tag('foreign', 'https://example.com/menu'),
    ];
  }

  async function playOne(name: string): Promise<void> {
    const play = plays.find(({ view }) => view.name === name);
    if (!play) throw new PaymentError('original_unknown', `there is no scenario ${name}`);
    if (playing !== undefined) throw new PaymentError('rate_limited', `${playing} is playing`);
    playing = name;
    lines.length = 0;
    const tell = (text: string, mood?: 'scene' | 'good' | 'bad') =>
      narrate({ by: name, text, ...(mood && { mood }) });
    const over = play.run(tell, system).then(
      (isRight) => narrate({ by: name, text: isRight ? '✓' : '✗', ...end(isRight) }),
      (error: unknown) => {
        const isTold = error instanceof PaymentError || error instanceof OperatorError;
        narrate({ by: name, text: error instanceof Error ? error.message : '✗', ...end(false) });
        if (!isTold) throw error;
      },
    );
    void over.finally(() => (playing = undefined));
  }

  const device = NAME;
  const verbs: Readonly<Record<string, Verb>> = {
    sense: defineVerb(
      z.strictObject({ device, sensed: SENSED }),
      (asked) => touch(asked.device, touchOf(asked.sensed)),
      SIM_BYTES_MAX,
    ),
    order: defineVerb(
      z.strictObject({ kiosk: device, lines: LINES }),
      async ({ kiosk, lines: all }) => {
        const form = { kind: 'order', currency: STORY.currency, lines: all };
        await touch(kiosk, touchOf(form));
      },
    ),
    clerk: defineVerb(z.strictObject({ kiosk: device, text: TEXT }), ({ kiosk, text }) =>
      touch(kiosk, touchOf({ kind: 'clerk', text })),
    ),
    tags: defineVerb(z.strictObject({ kiosk: device }), async ({ kiosk }) => ({
      tags: tagsOf(kiosk),
    })),
    look: defineVerb(z.strictObject({ device, kiosk: device }), async (asked) => {
      const uri = orders.get(asked.kiosk);
      if (uri === undefined) throw new PaymentError('order_unknown', 'there is no code to look at');
      const png = toBase64url(codePng(makeCode(uri), 6));
      await touch(asked.device, { kind: 'picture', png });
    }),
    add: defineVerb(z.strictObject({ kind: z.enum(['glasses', 'kiosk']) }), async ({ kind }) => {
      const added = await system.add(kind).catch((error: unknown) => {
        if (!(error instanceof OperatorError)) throw error;
        throw new PaymentError('unavailable', error.message, { cause: error });
      });
      emitNews('pairings', companion.pairings());
      return added;
    }),
    approve: defineVerb(z.strictObject({ code: CODE }), ({ code }) => system.approve(code)),
    refuse: defineVerb(z.strictObject({ code: CODE }), ({ code }) => system.refuse(code)),
    kill: defineVerb(z.strictObject({ name: NAME }), ({ name }) => system.kill(name)),
    trouble: defineVerb(
      z.strictObject({
        name: z.enum([...LINK_TROUBLES, ...DEVICE_TROUBLES, ...SYSTEM_TROUBLES, ...MOMENTS]),
        on: z.boolean(),
        device: z.optional(device),
        share: z.optional(z.number().check(z.minimum(0), z.maximum(1))),
      }),
      setTrouble,
    ),
    calm: defineVerb(NOTHING, async () => {
      for (const { name, device: one } of system.troubles.list()) {
        await setTrouble({ name, on: false, device: one });
      }
    }),
    revoke: defineVerb(z.strictObject({ mandate: z.optional(ID) }), async ({ mandate }) => {
      await companion.revoke(mandate);
      askSoon();
    }),
    grant: defineVerb(z.strictObject({ device }), async (asked) => {
      const text = await companion.grant(asked.device, language);
      askSoon();
      return { text };
    }),
    language: defineVerb(z.strictObject({ language: z.enum(['en', 'zh']) }), async (asked) => {
      language = asked.language;
      await system.speak(language);
      emit({ kind: 'language', language });
    }),
    scenario: defineVerb(z.strictObject({ name: NAME }), ({ name }) => playOne(name)),
    detail: defineVerb(
      z.strictObject({ payment: NAME, hop: z.int().check(z.minimum(1)) }),
      ({ payment, hop }) => detail(payment, hop),
    ),
  };

  return Object.freeze({
    ...{ system, verbs, begin, narrate },
    async stop() {
      isStopped = true;
      cancelLook();
      for (const listener of listeners) listener.end();
      await system.stop();
    },
  });
}

const NOTHING = z.strictObject({});
const NAME = z.string().check(z.regex(/^[\w-]{1,64}$/));
const ID = z.string().check(z.regex(/^[0-9a-f]{32}$/));
const CODE = z.string().check(z.regex(/^[0-9A-Z]{5}-[0-9A-Z]{5}$/));
const TEXT = z.string().check(z.maxLength(UTTERANCE_CHARS_MAX));
/** Read on by `touchForm`, which knows what each of them may hold. */
const SENSED = z.record(z.string().check(z.maxLength(16)), z.string());
const LINES = z.array(z.unknown());

/** The last line of what is played. */
const end = (isRight: boolean) => ({ isEnd: true, mood: isRight ? 'good' : 'bad' }) as const;

/** Menu of the story's shop, in fen. */
const CATALOGUE: Hello['catalogue'] = [
  ['Espresso', '浓缩咖啡', 15_00],
  ['Latte', '拿铁', 20_00],
  ['Cappuccino', '卡布奇诺', 22_00],
  ['Green tea', '绿茶', 9_00],
  ['Blueberry muffin', '蓝莓松饼', 18_00],
  ['Box of beans', '咖啡豆礼盒', 128_00],
].map(([en, zh, minor]) => ({
  names: [
    ['en', String(en)],
    ['zh', String(zh)],
  ],
  minor: String(minor),
}));

/** Throws PaymentError `malformed`. A page may write its bytes in either alphabet of base64. */
function touchOf(raw: Readonly<Record<string, unknown>>): Touch {
  const plain = Object.fromEntries(
    Object.entries(raw).map(([name, value]) => {
      const isBytes = name === 'png' || name === 'message';
      return [name, isBytes && typeof value === 'string' ? urlSafe(value) : value];
    }),
  );
  const read = z.safeParse(touchForm, plain);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new PaymentError('malformed', `${issue?.path.join('.')}: ${issue?.message}`);
}

function urlSafe(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

function allTroubles({ troubles }: System): Hello['troubles'] {
  const on = troubles.list();
  const names: readonly TroubleName[] = [
    ...LINK_TROUBLES,
    ...DEVICE_TROUBLES,
    ...SYSTEM_TROUBLES,
    ...MOMENTS,
  ];
  const isNamed = (name: TroubleName) => on.some((one) => one.name === name && !one.device);
  return [...names.filter((name) => !isNamed(name)).map((name) => ({ name, on: false })), ...on];
}

function memberNamed(system: System, name: string): Member | undefined {
  return system.members().find((member) => member.name === name);
}

/** What `saytap inspect` says of an object, and whether its signature holds. */
function examine(
  { folder, members }: System,
  files: Files,
  bytes: Uint8Array,
  kind: KindName,
): Pick<Detail, 'annotated' | 'signature'> {
  const realm: Realm = STORY.realm;
  const kid = toHex(kidOf(bytes));
  const bridge = files.read(join(folder, 'statements', 'bridge.key'));
  const statements = [
    ...members().flatMap((member) => member.running()?.statement ?? []),
    ...(bridge ? [keyStatement.decode(payloadOf(bridge))] : []),
  ];
  const signer = statements
    .map((statement) => ({ statement, key: loadKey(statement.key) }))
    .find(({ key }) => toHex(key.kid) === kid);
  if (!signer) return { annotated: inspect(bytes, { realm, kind }) };
  const { key, statement } = signer;
  const by = statement.device ?? statement.role;
  const annotated = inspect(bytes, { realm, kind, key });
  try {
    verify(bytes, kind, realm, key);
    return { annotated, signature: { isValid: true, by } };
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return { annotated, signature: { isValid: false, by, why: error.message } };
  }
}

/** The dispute file of the bridge, which tells what was decided and why. */
async function decisionOn(system: System, id: string): Promise<readonly string[]> {
  try {
    const told = await system.ask({ ask: 'evidence', id, form: 'text' });
    return (told as Readonly<{ text: string }>).text.split('\n');
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return [`${error.reason}: ${error.message}`];
  }
}

function spread(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
