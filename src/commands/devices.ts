/**
 * What the operator of a bridge does about devices: `saytap device list`, `show`, and the stopping
 * of one. Apart from src/commands/device.ts, because a device carries none of it.
 *
 * It is the bridge that knows every device and stops one. A device is named by its name in topics;
 * to stop it is to stop its key, as `saytap keys` does for every key.
 */
import { type Command, UsageError, defineCommand } from '../command.ts';
import type { Birth } from '../presence.ts';
import { utc } from '../sentences.ts';
import { approve, pending, refuse } from './approve.ts';
import { type FindKey, standingCommands } from './keys.ts';
import { CONFIG, ageText, askBridge, columns, everyRow } from './operator.ts';

/** A device as the bridge tells it (broker/devices.ts); what it says of itself is unsigned. */
type DeviceView = Readonly<{
  device: string;
  key: string;
  role: string;
  status: string;
  since: number;
  until: number;
  presence?: Readonly<{
    online: boolean;
    left: boolean;
    sinceMs: number;
    birth: Birth;
  }>;
}>;

type DeviceDetails = DeviceView &
  Readonly<{
    places: readonly string[];
    conflict?: Readonly<{ first: string; second: string; atMs: number }>;
    acts: readonly Readonly<{
      atMs: number;
      status: string;
      by: string;
      why: string;
      places: readonly string[];
    }>[];
  }>;

const list = defineCommand({
  summary: 'every device of the bridge: its status, is it there, what waits',
  options: { config: CONFIG },
  examples: ['device list --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const all = await everyRow<DeviceView>(
      context,
      options.config,
      { ask: 'devices' },
      ({ device }) => device,
    );
    if (all.length === 0) return context.write('no devices');
    const nowMs = context.clock.nowMs();
    const rows = all.map((view) => [
      view.device,
      view.role,
      view.status,
      seenText(view, nowMs),
      ...queueTexts(view, nowMs),
      ageText(nowMs - view.since * 1000),
      view.presence?.birth.versions.saytap ?? '-',
    ]);
    const head = ['device', 'role', 'status', 'seen', 'waiting', 'oldest', 'key age', 'version'];
    for (const line of columns([head, ...rows])) context.write(line);
  },
});

const show = defineCommand({
  summary: 'one device: what it says of itself, where it spoke from',
  about:
    'What a device says of itself is not signed: it is for people, and nothing is decided by it. ' +
    'A place is one start of its program on one machine; two that take turns are a copy.',
  inputs: [{ value: 'NAME', says: 'its name in topics', needs: 'the name of a device' }],
  options: { config: CONFIG },
  examples: ['device show glasses-1 --config /tmp/demo/bridge.yaml'],
  async run({ options, inputs }, context) {
    const name = inputs[0] ?? '';
    const question = { ask: 'device', name };
    const view = await askBridge<DeviceDetails | null>(context, options.config, question);
    if (!view) {
      throw new UsageError(`there is no device ${name} at this bridge: see saytap device list`);
    }
    const nowMs = context.clock.nowMs();
    const rows: readonly (readonly [string, string])[] = [
      ['device', `${view.device}, ${view.role}, ${view.status}`],
      ['key', `${view.key}, from ${utc(view.since)} until ${utc(view.until)}`],
      ['seen', seenText(view, nowMs)],
      ...(view.presence ? birthRows(view, view.presence.birth, nowMs) : []),
      ...view.places.map((place) => ['place', place] as const),
      ...(view.conflict ? conflictRows(view.conflict) : []),
      ...view.acts.flatMap(({ atMs, status, by, why, places }) => [
        [status, `${utc(Math.floor(atMs / 1000))} by ${by}: ${why}`] as const,
        ...places.map((place) => ['', `it spoke from ${place}`] as const),
      ]),
    ];
    for (const line of columns(rows)) context.write(line);
    if (view.acts.at(-1)?.places.length && view.status === 'suspended') {
      context.write(
        'Two hold this key, or its disk was restored. Find both places; the honest one comes ' +
          'back with a new key and your approval.',
      );
    }
  },
});

function birthRows(view: DeviceView, birth: Birth, nowMs: number): (readonly [string, string])[] {
  const { versions, profile, channels, surfaces, offline, keys, presenceMax, config } = birth;
  const [waiting, oldest] = queueTexts(view, nowMs);
  return [
    ['waiting', birth.queue.open === 0 ? 'nothing' : `${waiting}, the oldest for ${oldest}`],
    ['version', `saytap ${versions.saytap}, Node ${versions.node}, configuration ${config}`],
    ['is', `${profile}; hears ${channels.join(', ') || '-'}; shows on ${surfaces.join(', ')}`],
    ['can', `${offline}, key in ${keys}, presence up to P${presenceMax}`],
  ];
}

function conflictRows({
  first,
  second,
  atMs,
}: NonNullable<DeviceDetails['conflict']>): (readonly [string, string])[] {
  return [
    ['two places', `at ${utc(Math.floor(atMs / 1000))} it spoke from both of these:`],
    ['', first],
    ['', second],
  ];
}

function seenText({ presence }: DeviceView, nowMs: number): string {
  if (!presence) return 'never';
  const span = ageText(nowMs - presence.sinceMs);
  if (presence.online) return `online for ${span}`;
  return presence.left ? `left ${span} ago` : `lost ${span} ago`;
}

function queueTexts(
  { presence }: DeviceView,
  nowMs: number,
): readonly [waiting: string, oldest: string] {
  // What it said when it came is no longer known to be true once it has left.
  if (!presence || presence.left) return ['-', '-'];
  const { open, oldest } = presence.birth.queue;
  return [String(open), oldest === undefined ? '-' : ageText(nowMs - oldest * 1000)];
}

const byName: FindKey = (all, given) => {
  // To stop the key that a device has now stops also the one that it had before.
  const found =
    all.find(({ device, place }) => device === given && place === undefined) ??
    all.find(({ device }) => device === given);
  if (found) return found;
  const names = all.flatMap(({ device }) => device ?? []);
  const known = names.length === 0 ? 'it knows none' : `it knows ${names.sort().join(', ')}`;
  throw new UsageError(`there is no device ${given} at this bridge; ${known}`);
};

/** The subcommands of `saytap device` that ask a bridge. */
export const atBridge: Readonly<Record<string, Command>> = {
  ...{ list, show, pending, approve, refuse },
  ...standingCommands(
    'device',
    { value: 'NAME', says: 'its name in topics', needs: 'the name of a device' },
    'glasses-1',
    byName,
  ),
};
