/**
 * What a device says of itself on its `state` topic: a retained birth, and a death that shares the
 * birth's session number. PROTOCOL.md §6.2 has the document field by field.
 *
 * It is unsigned and for display only: nobody decides about money by it, so whoever reads it takes
 * what is well formed and drops the rest. No amount, payee or name of a person is in it.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { utf8 } from './bytes.ts';
import { PRESENCE_BYTES_MAX, PRESENCE_LIST_MAX, PRESENCE_TEXT_CHARS_MAX } from './limits.ts';

/** What people read: no control, invisible or direction-changing character, and not long. */
const text = z.pipe(
  z.string(),
  z.transform((value) => value.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, MAX)),
);
const MAX = PRESENCE_TEXT_CHARS_MAX;
const texts = z.array(text).check(z.maxLength(PRESENCE_LIST_MAX));
const count = z.int().check(z.gte(0));

/**
 * Where a device speaks from: the machine's name, its boot, and this start of the program. A copied
 * data folder speaks from another place, also on the same machine.
 */
const place = z.object({ host: text, boot: text, start: text });

/** Seconds since 1970 in `since`, `until` and `oldest`. */
const about = z.object({
  versions: z.object({ saytap: text, node: text }),
  profile: text,
  channels: texts,
  surfaces: texts,
  /** What its policies say about accepting without a link. */
  offline: text,
  /** Kind of its key store. */
  keys: text,
  presenceMax: count,
  /** Which settings this version takes: `schemaId`. */
  config: text,
  key: z.object({ kid: text, since: count, until: count }),
});

const birth = z.object({
  session: count,
  online: z.literal(true),
  place,
  ...about.shape,
  /** What waits for a final receipt, and since when the oldest does, when that is known. */
  queue: z.object({ open: count, oldest: z.optional(count) }),
});

const death = z.object({
  session: count,
  online: z.literal(false),
  place,
  /** True for a goodbye; false for the will, which the broker tells of a broken connection. */
  left: z.boolean(),
});

const presence = z.discriminatedUnion('online', [birth, death]);

export type Place = z.infer<typeof place>;
export type About = z.infer<typeof about>;
export type Birth = z.infer<typeof birth>;
export type Death = z.infer<typeof death>;

/** The document as it is published, at most PRESENCE_BYTES_MAX. */
export function encodePresence(value: Birth | Death): Uint8Array {
  return utf8(JSON.stringify(value));
}

/** A document from anybody, its texts made fit to be shown; undefined when it is none. */
export function parsePresence(bytes: Uint8Array): Birth | Death | undefined {
  if (bytes.length > PRESENCE_BYTES_MAX) return undefined;
  try {
    const parsed = z.safeParse(presence, JSON.parse(new TextDecoder().decode(bytes)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Sixteen hex digits that change whenever a configuration may say something else. */
export function schemaId(schema: z.ZodMiniType): string {
  const described = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return createHash('sha256').update(JSON.stringify(described)).digest('hex').slice(0, 16);
}
