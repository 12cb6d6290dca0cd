/**
 * Who can do what in a scenario: one table of verbs, from which the reader, the faults that it
 * tells and the page of docs/scenarios.md are made.
 */
import type { Cast } from './cast.ts';
import {
  billVerb,
  cloneVerb,
  confirmVerb,
  deedVerb,
  lookVerb,
  orderVerb,
  payVerb,
  pinVerb,
  revokeVerb,
  sayVerb,
  tapVerb,
} from './deed.ts';
import {
  machine,
  mendVerb,
  operatorRevokes,
  restoreVerb,
  troubleVerb,
  troubles,
} from './trouble.ts';
import {
  type Actor,
  LEDGER_TROUBLES,
  NETWORK_TROUBLES,
  RISK_TROUBLES,
  type Verb,
  bare,
} from './verb.ts';

/** Everything that can be done, by who does it. */
export const ACTS: Readonly<Record<Actor, Readonly<Record<string, Verb>>>> = Object.freeze({
  person: {
    say: sayVerb,
    look: lookVerb,
    tap: tapVerb,
    confirm: confirmVerb,
    cancel: bare('cancel', 'says cancel', 'wang'),
    press: bare(
      'press',
      'presses: the temple, or the button of the kiosk that was just used',
      'wang',
    ),
    pin: pinVerb,
    'take off': bare('take off', 'takes the glasses off', 'wang'),
    'put on': bare('put on', 'puts them on', 'wang'),
    revoke: revokeVerb,
    clone: cloneVerb,
  },
  agent: { pay: payVerb },
  kiosk: {
    order: orderVerb,
    bill: billVerb,
    confirm: { ...confirmVerb, says: 'the clerk presses the button', example: 'till: confirm' },
    refund: deedVerb('refund', 'gives back an order, or a part of it'),
    capture: deedVerb('capture', 'takes what is held'),
    release: deedVerb('release', 'releases what is held'),
    ...machine('till'),
  },
  glasses: machine('wang-glasses'),
  bridge: {
    ...machine('bridge'),
    backup: bare('backup', 'a backup is made', 'bridge'),
    restore: restoreVerb,
    replace: bare('replace', 'its machine is gone; another one takes the disk over', 'bridge'),
  },
  network: { ...troubles('network', NETWORK_TROUBLES), mend: mendVerb('network', 'mend') },
  broker: {
    restart: bare('restart', 'the MQTT broker restarts and forgets', 'broker'),
    away: troubleVerb('broker', 'away'),
    well: mendVerb('broker', 'well'),
  },
  risk: { ...troubles('risk', RISK_TROUBLES), well: mendVerb('risk', 'well') },
  ledger: { ...troubles('ledger', LEDGER_TROUBLES), well: mendVerb('ledger', 'well') },
  operator: { revoke: operatorRevokes },
});

/** What a name of a step is; undefined for nobody. */
export function actorOf(cast: Cast, name: string): Actor | undefined {
  if (cast.people.some((one) => one.name === name)) return 'person';
  if (cast.kiosks.some((one) => one.name === name)) return 'kiosk';
  if (cast.agents.some((one) => one.name === name)) return 'agent';
  if (cast.people.some(({ glasses }) => glasses === name)) return 'glasses';
  return (['network', 'broker', 'bridge', 'risk', 'ledger', 'operator'] as const).find(
    (part) => part === name,
  );
}

/** Everybody and everything that a step can begin with. */
export function actorsIn(cast: Cast): readonly string[] {
  const parts = ['network', 'broker', 'bridge', 'risk', 'ledger', 'operator'];
  return [
    ...cast.people.map(({ name }) => name),
    ...cast.kiosks.map(({ name }) => name),
    ...cast.agents.map(({ name }) => name),
    ...cast.people.flatMap(({ glasses }) => glasses ?? []),
    ...parts,
  ];
}
