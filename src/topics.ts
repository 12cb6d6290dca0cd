/**
 * MQTT topics: who may write what where. A device writes only its own `up`, reads only its own
 * `down` and the tick; the bridge checks by key what the broker checks by certificate.
 */
import { NAME_BYTES_MAX } from './limits.ts';
import { KINDS, type KindName } from './objects/kinds.ts';

export const VERSION = 'saytap/1';

/**
 * Tail of the only answer that is not signed: `{23: 104}`, rate limited, to an envelope whose
 * signature does not hold. It tells an honest device that something is wrong and closes nothing.
 */
export const UNSIGNED = 'unsigned';

export function upTopic(device: string, kind: KindName): string {
  return `${VERSION}/${device}/up/${kind}`;
}

export function downTopic(device: string, tail: KindName | typeof UNSIGNED): string {
  return `${VERSION}/${device}/down/${tail}`;
}

export function tickTopic(ledger: string): string {
  return `${VERSION}/${ledger}/tick`;
}

/** Birth and will of a device, retained. */
export function stateTopic(device: string): string {
  return `${VERSION}/${device}/state`;
}

/** What a bridge listens to. */
export const UP_FILTER = `${VERSION}/+/up/+`;
export const STATE_FILTER = `${VERSION}/+/state`;

/** What a device listens to. */
export function downFilter(device: string): string {
  return `${VERSION}/${device}/down/+`;
}

/** Device and tail of an `up` or `down` topic; undefined for any other topic. */
export function parseTopic(
  topic: string,
): Readonly<{ device: string; way: 'up' | 'down'; tail: KindName | typeof UNSIGNED }> | undefined {
  const [product, version, device, way, tail, ...rest] = topic.split('/');
  if (`${product}/${version}` !== VERSION || rest.length > 0) return undefined;
  if (!device || !tail || !isName(device)) return undefined;
  if (way !== 'up' && way !== 'down') return undefined;
  if (!Object.hasOwn(KINDS, tail) && !(way === 'down' && tail === UNSIGNED)) return undefined;
  return { device, way, tail: tail as KindName | typeof UNSIGNED };
}

/** The device whose state topic this is; undefined for any other topic. */
export function deviceOfState(topic: string): string | undefined {
  const device = topic.slice(VERSION.length + 1, -'/state'.length);
  return isName(device) && topic === stateTopic(device) ? device : undefined;
}

/** A name of a device or ledger: one level of a topic, no wildcard. */
export function isName(text: string): boolean {
  return text.length <= NAME_BYTES_MAX && /^[\w-]+$/.test(text);
}

/** Names that begin so belong to the programs of a site: no device is called like that. */
const RESERVED = 'saytap-';
/** What the bridge is called at a broker that knows its clients by their certificates. */
export const BRIDGE_NAME = `${RESERVED}bridge`;

/** The client id that a bridge connects with. */
export const BRIDGE_CLIENT = 'bridge';

/** Whether a device may be called so. */
export function isDeviceName(text: string): boolean {
  return isName(text) && !text.startsWith(RESERVED);
}
