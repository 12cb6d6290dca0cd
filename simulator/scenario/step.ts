/**
 * The steps of a scenario: who does what, when, and what is expected of it.
 *
 * A step begins with who does it: `wang: { say: pay 12 yuan to Luckin Coffee, confirm: by voice }`.
 * Several verbs of one step follow each other; `as:` names what comes of it for later steps.
 */
import { SCENARIO_STEPS_MAX, SCENARIO_WITHIN_MS_MAX } from '../../src/limits.ts';
import { ACTS, actorOf, actorsIn } from './act.ts';
import type { Cast } from './cast.ts';
import { type Expected, FACTS, readStepExpectation, readWorldExpectation } from './expectation.ts';
import { localText, timeOf, wallOf, whileOf, whileText } from './moment.ts';
import { meant } from './nearest.ts';
import { FIELDS, type Template, readTemplate, referencesIn } from './reference.ts';
import {
  type Entry,
  type Faults,
  type Place,
  type Text,
  type Written,
  textOf,
  unknown,
} from './source.ts';
import type { Actor, Doing, Gives } from './verb.ts';

export type Step = Readonly<{
  place: Place;
  /** A headline before it. */
  note: string | undefined;
  /** Ms after the beginning before which it does not happen. */
  atMs: number | undefined;
  /** Ms that pass before it. */
  waitMs: number;
  /** Who does something; undefined for a step that only waits or expects. */
  actor: Readonly<{ name: string; kind: Actor }> | undefined;
  does: readonly Placed<Doing>[];
  /** What comes of it: always named, by `as:` or by its line. */
  result: Readonly<{ name: string; gives: Gives }> | undefined;
  /** After so long what it broke is whole again, or what it stopped starts. */
  lastsMs: number | undefined;
  expects: readonly Expected[];
}>;

export type Placed<T> = T & Readonly<{ place: Place }>;

const OTHER = ['at', 'as', 'expect', 'note', 'wait', 'for'] as const;

/** Reads `steps:`; every fault is told. */
export function readSteps(written: Written, cast: Cast, faults: Faults): readonly Step[] {
  if (written.kind !== 'list' || written.items.length === 0) {
    faults.tell(written.place, 'steps are a list: each begins with - and with who does something');
    return [];
  }
  if (written.items.length > SCENARIO_STEPS_MAX) {
    faults.tell(written.place, `more than ${SCENARIO_STEPS_MAX} steps: split the day into files`);
    return [];
  }
  const results = new Map<string, Gives>();
  const lines = new Map<string, number>();
  const later = namesIn(written.items);
  let nowMs = 0;
  let nowLine = 0;
  return written.items.flatMap((item) => readStep(item) ?? []);

  function readStep(item: Written): Step | undefined {
    if (item.kind !== 'fields') {
      faults.tell(item.place, 'a step is written as who: does, as wang: confirm');
      return undefined;
    }
    const { place } = item;
    const other = Object.fromEntries(
      item.entries
        .filter(({ name }) => OTHER.some((one) => one === name))
        .map((one) => [one.name, one]),
    ) as Partial<Record<(typeof OTHER)[number], Entry>>;
    const doers = item.entries.filter(({ name }) => !OTHER.some((one) => one === name));
    const [doer, second] = doers;
    if (second) {
      const known = [...actorsIn(cast), ...OTHER];
      const text = known.includes(second.name)
        ? `a second one who does something: begin a new step with - ${second.name}:`
        : unknown(second.name, 'a field of a step', known);
      faults.tell(second.place, text);
    }
    const { atMs, waitMs } = readTime(other.at, other.wait);
    const actor = doer && readActor(doer);
    const gives: Gives[] = [];
    const does = doer && actor ? readDoings(doer, actor, gives) : [];
    const result = readResult(other.as, gives[0], place, doer);
    if (result) {
      results.set(result.name, result.gives);
      lines.set(result.name, place.line);
    }
    if (!doer && !other.expect && !other.wait && !other.at && !other.note) {
      faults.tell(place, 'an empty step');
    }
    const expects = other.expect
      ? doer
        ? readStepExpectation(other.expect.value, result, listener(actor), known())
        : readWorldExpectation(other.expect.value, known())
      : [];
    checkReferences(expects);
    const note = other.note && textOf(other.note.value, 'a headline', faults)?.text;
    const lastsMs = readLasts(other.for, does);
    return { place, note, atMs, waitMs, actor, does, result, lastsMs, expects };
  }

  function known() {
    return { cast, faults, results };
  }

  function readActor(doer: Entry): Readonly<{ name: string; kind: Actor }> | undefined {
    const kind = actorOf(cast, doer.name);
    if (kind) return { name: doer.name, kind };
    const names = [...actorsIn(cast), ...OTHER];
    faults.tell(doer.place, unknown(doer.name, 'anybody in this scenario', names));
    return undefined;
  }

  function readDoings(
    doer: Entry,
    actor: Readonly<{ name: string; kind: Actor }>,
    gives: Gives[],
  ): readonly Placed<Doing>[] {
    const { value } = doer;
    const entries: readonly Entry[] =
      value.kind === 'fields'
        ? value.entries
        : value.kind === 'text'
          ? [
              {
                name: value.text,
                place: value.place,
                value: { kind: 'nothing', place: value.place },
              },
            ]
          : [];
    if (entries.length === 0) {
      faults.tell(value.place, `what ${doer.name} does is missing`);
    }
    const verbs = ACTS[actor.kind];
    return entries.flatMap(({ name, place, value: said }) => {
      const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
      if (!verb) {
        const what = `anything that ${actor.name} (${actor.kind}) can do`;
        faults.tell(place, unknown(name, what, Object.keys(verbs)));
        return [];
      }
      if (verb.gives && gives.push(verb.gives) > 1) {
        faults.tell(place, 'one step leaves one result: begin a new step here');
      }
      const doing = verb.read(said, { cast, actor: actor.name, faults, refer });
      if (doing?.does === 'say') checkTemplate(doing.text);
      return doing ? [{ ...doing, place }] : [];
    });
  }

  function readResult(
    as: Entry | undefined,
    gives: Gives | undefined,
    { line }: Place,
    doer: Entry | undefined,
  ): Step['result'] {
    const name = as && textOf(as.value, 'a name', faults);
    if (as && !gives) {
      // Whoever is unknown may well have left something.
      if (!doer || actorOf(cast, doer.name)) {
        faults.tell(as.place, 'nothing comes of this step that could have a name');
      }
      if (!name) return undefined;
    }
    if (name && FACTS.some((one) => one === name.text)) {
      faults.tell(name.place, `${name.text} has a meaning of its own: choose another name`);
    }
    if (name && !/^[a-z][a-z0-9-]{0,31}$/.test(name.text)) {
      faults.tell(name.place, `“${name.text}” is no name: lower case letters, digits and -`);
    }
    const before = name && lines.get(name.text);
    if (name && before !== undefined) {
      faults.tell(name.place, `${name.text} is named already, in line ${before}`);
    }
    if (!gives) return undefined;
    return { name: name?.text ?? `line ${line}`, gives };
  }

  /** A whole reference: to an order, or to a backup. */
  function refer(text: Text, gives: Gives): string | undefined {
    const [first, ...rest] = readTemplate(text, faults);
    if (first === undefined || typeof first === 'string' || rest.length > 0) {
      if (!text.text.includes('${')) {
        faults.tell(
          text.place,
          `“${text.text}” is no reference: \${…} with the name of an earlier step`,
        );
      }
      return undefined;
    }
    const found = resolve(first.name, first.place);
    if (found === undefined) return undefined;
    if (found !== gives) {
      faults.tell(
        first.place,
        `${first.name} is ${article(found)}, and ${article(gives)} is needed here`,
      );
      return undefined;
    }
    return first.name;
  }

  function resolve(name: string, place: Place): Gives | undefined {
    const gives = results.get(name);
    if (gives) return gives;
    const comes = later.get(name);
    const near = meant(name, named()) ?? meant(name, [...later.keys()]);
    const text =
      comes !== undefined && comes.line >= place.line
        ? `${name} is only named in line ${comes.line}, after this`
        : unknown(name, 'the name of an earlier step (as:)', near ? [near] : named());
    faults.tell(place, text);
    return undefined;
  }

  function named(): readonly string[] {
    return [...results.keys()].filter((name) => !name.startsWith('line '));
  }

  function checkTemplate(template: Template): void {
    for (const { name, field, place, fieldPlace } of referencesIn(template)) {
      if (resolve(name, place) === undefined || field === undefined) continue;
      if (!FIELDS.some((one) => one === field)) {
        faults.tell(fieldPlace, unknown(field, `a field of ${name}`, FIELDS));
      }
    }
  }

  function checkReferences(expects: readonly Expected[]): void {
    for (const one of expects) if ('text' in one) checkTemplate(one.text);
  }

  function listener(actor: Step['actor']): string | undefined {
    return actor && (actor.kind === 'person' || actor.kind === 'kiosk') ? actor.name : undefined;
  }

  /** When it happens; a scenario never goes back in time. */
  function readTime(at: Entry | undefined, wait: Entry | undefined) {
    const text = at && textOf(at.value, 'a time', faults);
    const waited = wait && textOf(wait.value, 'a while', faults);
    let waitMs = 0;
    if (waited) {
      waitMs = whileOf(waited.text) ?? 0;
      if (waitMs === 0) faults.tell(waited.place, `“${waited.text}” is no while, as 30s or 2h`);
    }
    if (!text) {
      nowMs += waitMs;
      return { atMs: undefined, waitMs };
    }
    const after = /^\+(.+)$/.exec(text.text)?.[1];
    if (after !== undefined) {
      const ms = whileOf(after);
      if (ms === undefined) faults.tell(text.place, `“${text.text}” is no while, as +5m`);
      nowMs += ms ?? 0;
      return { atMs: undefined, waitMs: waitMs + (ms ?? 0) };
    }
    const atMs = momentOf(text);
    if (atMs === undefined) return { atMs, waitMs };
    if (atMs < nowMs) {
      const since = nowLine > 0 ? ` of line ${nowLine}` : ', when the day begins';
      const clock = localText(cast.startMs + nowMs, cast.zone).slice(11, 16);
      faults.tell(
        text.place,
        `${text.text} is before ${clock}${since}: say “${text.text} next day”?`,
      );
    }
    nowMs = Math.max(nowMs, atMs);
    nowLine = text.place.line;
    return { atMs, waitMs };
  }

  function momentOf(text: Text): number | undefined {
    const [, time = '', next] = /^(\S+)( next day)?$/.exec(text.text) ?? [];
    const ms = timeOf(time);
    if (ms === undefined) {
      faults.tell(text.place, `“${text.text}” is no time: as 12:30, 00:05 next day, or +5m`);
      return undefined;
    }
    const today = localText(cast.startMs + nowMs, cast.zone).slice(0, 10);
    const day = new Date(Date.parse(`${today}T12:00:00Z`) + (next ? 86_400_000 : 0));
    const date = day.toISOString().slice(0, 10);
    const wall = wallOf(`${date} ${new Date(ms).toISOString().slice(11, 19)}`, cast.zone);
    if (!wall) faults.tell(text.place, `${text.text} does not exist on that day`);
    return wall && wall.ms - cast.startMs;
  }

  function readLasts(entry: Entry | undefined, does: readonly Doing[]): number | undefined {
    const text = entry && textOf(entry.value, 'a while', faults);
    if (!text) return undefined;
    const ms = whileOf(text.text);
    if (ms === undefined || ms === 0 || ms > SCENARIO_WITHIN_MS_MAX) {
      faults.tell(text.place, `for how long: as 4m, at most ${whileText(SCENARIO_WITHIN_MS_MAX)}`);
      return undefined;
    }
    const lasts = does.some((doing) => ['trouble', 'kill', 'power', 'disk'].includes(doing.does));
    if (!lasts && does.length > 0) {
      faults.tell(entry.place, 'nothing of this step lasts: for: goes with what breaks or stops');
    }
    return ms;
  }
}

/** Every name that a step gives, with its place, for what is referred to too early. */
function namesIn(items: readonly Written[]): ReadonlyMap<string, Place> {
  return new Map(
    items.flatMap((item) => {
      if (item.kind !== 'fields') return [];
      const as = item.entries.find(({ name }) => name === 'as')?.value;
      return as?.kind === 'text' ? [[as.text, as.place] as const] : [];
    }),
  );
}

function article(gives: Gives): string {
  return { payment: 'a payment', order: 'an order', deed: 'a deed', backup: 'a backup' }[gives];
}
