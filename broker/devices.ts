/** Devices as the operator sees them: their key, what they say of themselves, what was decided. */
import { KEY_ACTS_SHOWN } from '../src/limits.ts';
import type { Birth } from '../src/presence.ts';
import { type Heard, placeText } from './presence.ts';
import type { EvidenceRow, Identity } from './store/port.ts';

export type DeviceView = Readonly<{
  device: string;
  /** Thumbprint of its key. */
  key: string;
  role: string;
  status: Identity['status'];
  /** Validity of its Key statement, seconds. */
  since: number;
  until: number;
  /** What it says of itself, unsigned; undefined when nothing was heard under this key. */
  presence: Presence | undefined;
}>;

type Presence = Readonly<{ online: boolean; left: boolean; sinceMs: number; birth: Birth }>;

/** What `saytap device show` adds. */
export type DeviceDetails = Readonly<{
  /** Places that it spoke from, newest last. */
  places: readonly string[];
  /** Two places that cannot both be this device, and when that was seen. */
  conflict: Readonly<{ first: string; second: string; atMs: number }> | undefined;
}>;

/** Something that was decided about a key; `places` when two were found to hold it. */
export type KeyAct = Readonly<{
  atMs: number;
  status: string;
  by: string;
  why: string;
  places: readonly string[];
}>;

export function viewOfDevice(
  { name, status, statement }: Identity,
  heard: Heard | undefined,
): DeviceView {
  const own = heard?.key === name ? heard : undefined;
  return {
    device: statement.device!,
    key: name,
    role: statement.role,
    status,
    since: statement.nbf,
    until: statement.exp,
    presence: own && {
      online: own.online,
      left: own.left,
      sinceMs: own.sinceMs,
      birth: own.birth,
    },
  };
}

export function detailsOf(heard: Heard | undefined): DeviceDetails {
  const conflict = heard?.conflict;
  return {
    places: heard?.places.map(placeText) ?? [],
    conflict: conflict && {
      first: placeText(conflict.first),
      second: placeText(conflict.second),
      atMs: conflict.atMs,
    },
  };
}

/** The last acts on a key in its evidence: by the operator, and by the bridge itself. */
export function keyActs(rows: readonly EvidenceRow[]): readonly KeyAct[] {
  return rows
    .flatMap(({ kind, body, atMs }) => (kind === 'note' && body ? actOf(body, atMs) : []))
    .slice(-KEY_ACTS_SHOWN);
}

function actOf(body: Uint8Array, atMs: number): KeyAct[] {
  const said = JSON.parse(new TextDecoder().decode(body)) as Readonly<{
    status?: string;
    by?: string;
    why?: string;
    suspended?: string;
    places?: readonly string[];
  }>;
  const { status, by = '-', why = '-', suspended, places = [] } = said;
  if (suspended !== undefined) {
    return [{ atMs, status: 'suspended', by: 'the bridge', why: suspended, places }];
  }
  return status === undefined ? [] : [{ atMs, status, by, why, places }];
}
