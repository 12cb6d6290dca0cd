/**
 * How a signed object is described: fields with numbers, once, and from that its exact codec.
 *
 * A kind is one CBOR map with small integer keys. A missing field, an unknown one or a value
 * outside its range is refused, so there is nothing that a reader could overlook. A number means
 * the same field in every kind (CWT claim numbers, RFC 8392, where a field is one).
 */
import { toHex } from '../bytes.ts';
import { type CborValue, encodeCbor } from '../cbor.ts';
import { type Opened, type Realm, type Signer, openEnvelope, signEnvelope } from '../cose.ts';
import { PaymentError } from '../errors.ts';
import { type PublicKey, type VerifyKey, coseKey, parseCoseKey } from '../keys.ts';
import { CBOR_INTEGER_MAX, NAME_BYTES_MAX } from '../limits.ts';
import { type Money, exponentOf } from '../money.ts';

/** One value inside an object: written and read exactly, or refused with PaymentError. */
export type Field<T> = Readonly<{
  write: (value: T) => CborValue;
  read: (value: CborValue) => T;
}>;

type Slot<T, Required extends boolean> = Readonly<{
  number: number;
  field: Field<T>;
  required: Required;
}>;
// `any` is how TypeScript spells "some T" in an invariant position.
type Shape = Readonly<Record<string, Slot<any, boolean>>>;
type ValueIn<S> = S extends Slot<infer T, boolean> ? T : never;
type Values<S extends Shape> = Readonly<
  { [K in keyof S as S[K]['required'] extends true ? K : never]: ValueIn<S[K]> } & {
    [K in keyof S as S[K]['required'] extends true ? never : K]?: ValueIn<S[K]>;
  }
>;

export type Kind<T> = Readonly<{
  name: string;
  /** Field names by number, for people (inspect) and for the test that keeps numbers unique. */
  fields: ReadonlyMap<number, string>;
  /** The payload bytes of a value; throws `malformed` and the like for a value out of range. */
  encode: (value: T) => Uint8Array;
  /** The value of a decoded payload; throws with the reason code of the first fault. */
  decode: (payload: CborValue) => T;
}>;

export type ValueOf<K> = K extends Kind<infer T> ? T : never;

/** A verified object with its identity. */
export type Verified<T> = Readonly<{ value: T }> & Omit<Opened, 'payload'>;

export function required<T>(number: number, field: Field<T>): Slot<T, true> {
  return { number, field, required: true };
}

export function optional<T>(number: number, field: Field<T>): Slot<T, false> {
  return { number, field, required: false };
}

/** Describes a kind; `check` refuses combinations that no single field can see. */
export function defineKind<S extends Shape>(
  name: string,
  shape: S,
  check: (value: Values<S>) => void = () => {},
): Kind<Values<S>> {
  const map = mapField(shape, check);
  const numbers = Object.entries(shape).map(([field, slot]) => [slot.number, field] as const);
  return Object.freeze({
    name,
    fields: new Map(numbers),
    encode: (value: Values<S>) => encodeCbor(map.write(value)),
    decode: map.read,
  });
}

/** Encodes, signs and wraps a value. */
export async function seal<T>(
  kind: Kind<T>,
  value: T,
  realm: Realm,
  signer: Signer,
): Promise<Uint8Array> {
  return signEnvelope(kind.encode(value), realm, kind.name, signer);
}

/** Verifies an envelope as this kind, then decodes it. Throws as openEnvelope and the kind do. */
export function open<T>(
  kind: Kind<T>,
  envelope: Uint8Array,
  realm: Realm,
  findKey: (kid: Uint8Array) => VerifyKey | undefined,
): Verified<T> {
  const { payload, ...proof } = openEnvelope(envelope, realm, kind.name, findKey);
  return Object.freeze({ ...proof, value: kind.decode(payload) });
}

/** A CBOR map with numbered fields, as an object (a whole kind, or a map inside one). */
export function mapField<S extends Shape>(
  shape: S,
  check: (value: Values<S>) => void = () => {},
): Field<Values<S>> {
  const slots = Object.entries(shape);
  const known = new Set(slots.map(([, slot]) => slot.number));
  return {
    write(value) {
      check(value);
      const map = new Map<number, CborValue>();
      for (const [name, slot] of slots) {
        const item: unknown = (value as Record<string, unknown>)[name];
        if (item === undefined) {
          if (slot.required) throw malformed(`${name} is missing`);
        } else {
          map.set(
            slot.number,
            named(name, () => slot.field.write(item)),
          );
        }
      }
      return map;
    },
    read(payload) {
      if (!(payload instanceof Map)) throw malformed('not a map');
      for (const number of payload.keys()) {
        if (!known.has(number)) throw malformed(`unknown field ${number}`);
      }
      const value: Record<string, unknown> = {};
      for (const [name, slot] of slots) {
        const item = payload.get(slot.number);
        if (item === undefined) {
          if (slot.required) throw malformed(`${name} (field ${slot.number}) is missing`);
        } else {
          value[name] = named(name, () => slot.field.read(item));
        }
      }
      check(value as Values<S>);
      return Object.freeze(value) as Values<S>;
    },
  };
}

/** An integer from `min` to `max`. */
export function integer(min = 0, max: number = CBOR_INTEGER_MAX): Field<number> {
  return same((value) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw malformed(`not an integer from ${min} to ${max}`);
    }
    return value;
  });
}

/** Seconds since 1970 (a CWT NumericDate without fraction). */
export const seconds = integer(0, 0xff_ffff_ffff);

/** Minor units, zero allowed: a ceiling or a remainder. */
export const minor: Field<bigint> = {
  write: (value) => {
    // Number([]) is 0: what is no bigint must not become an amount on the way out.
    if (typeof value !== 'bigint' || value < 0n || value > BigInt(CBOR_INTEGER_MAX)) {
      throw malformed('not minor units in range');
    }
    return Number(value);
  },
  read: (value) => BigInt(integer().read(value)),
};

/** Exactly `length` bytes. */
export function bytes(length: number): Field<Uint8Array> {
  return same((value) => {
    if (!(value instanceof Uint8Array) || value.length !== length) {
      throw malformed(`not ${length} bytes`);
    }
    return value;
  });
}

/** From one to `max` bytes. */
export function bytesUpTo(max: number): Field<Uint8Array> {
  return same((value) => {
    if (!(value instanceof Uint8Array) || value.length === 0 || value.length > max) {
      throw malformed(`not 1 to ${max} bytes`);
    }
    return value;
  });
}

/** A 16-byte id; hex in memory, because it is what stores, logs and backends compare. */
export const id: Field<string> = {
  write: (value) => {
    if (!/^[0-9a-f]{32}$/.test(value)) throw malformed('not an id of 16 bytes');
    return Uint8Array.from(value.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  },
  read: (value) => toHex(bytes(16).read(value)),
};

/** A full key thumbprint, 32 bytes; hex in memory. */
export const thumbprintName: Field<string> = {
  write: (value) => {
    if (!/^[0-9a-f]{64}$/.test(value)) throw malformed('not a thumbprint of 32 bytes');
    return Uint8Array.from(value.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  },
  read: (value) => toHex(bytes(32).read(value)),
};

/** Controls, format and ignorable characters, fillers and blanks that look like nothing. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u;

/** What a person can be shown: no control, zero-width or direction-changing characters. */
export function text(bytesMax: number): Field<string> {
  return same((value) => {
    if (typeof value !== 'string' || value.length === 0 || utf8Length(value) > bytesMax) {
      throw malformed(`not text of 1 to ${bytesMax} bytes`);
    }
    if (UNSEEN.test(value) || !value.isWellFormed()) {
      throw malformed('text with characters that cannot be seen');
    }
    return value;
  });
}

/** A name that machines compare and topics carry: [A-Za-z0-9_-], at most 64. */
export const name: Field<string> = same((value) => {
  if (typeof value !== 'string' || value.length > NAME_BYTES_MAX || !/^[\w-]+$/.test(value)) {
    throw malformed(`not a name of 1 to ${NAME_BYTES_MAX} characters [A-Za-z0-9_-]`);
  }
  return value;
});

/** One of a closed list, written as its number. */
export function choice<const C extends Readonly<Record<string, number>>>(
  choices: C,
): Field<keyof C & string> {
  const names = new Map(Object.entries(choices).map(([key, number]) => [number, key]));
  return {
    write: (value) => {
      const number = choices[value];
      if (number === undefined) throw malformed(`not one of ${Object.keys(choices).join(', ')}`);
      return number;
    },
    read: (value) => {
      const chosen = typeof value === 'number' ? names.get(value) : undefined;
      if (chosen === undefined) throw malformed(`not one of ${[...names.keys()].join(', ')}`);
      return chosen;
    },
  };
}

/** An array of `min` to `max` items. */
export function list<T>(item: Field<T>, min: number, max: number): Field<readonly T[]> {
  return {
    write: (values) => {
      if (values.length < min || values.length > max) throw malformed(`not ${min} to ${max} items`);
      return values.map(item.write);
    },
    read: (value) => {
      if (!Array.isArray(value) || value.length < min || value.length > max) {
        throw malformed(`not a list of ${min} to ${max} items`);
      }
      return Object.freeze(value.map(item.read));
    },
  };
}

/** An array with one field per place. */
export function tuple<T extends readonly unknown[]>(
  ...fields: { [K in keyof T]: Field<T[K]> }
): Field<T> {
  return {
    write: (values) => fields.map((field, i) => field.write(values[i])),
    read: (value) => {
      if (!Array.isArray(value) || value.length !== fields.length) {
        throw malformed(`not an array of ${fields.length}`);
      }
      return Object.freeze(fields.map((field, i) => field.read(value[i] as CborValue))) as T;
    },
  };
}

/** A field seen under another shape in memory. */
export function mapped<T, U>(
  field: Field<T>,
  to: (value: T) => U,
  from: (value: U) => T,
): Field<U> {
  return { write: (value) => field.write(from(value)), read: (value) => to(field.read(value)) };
}

type FieldsOf<V> = { readonly [P in Exclude<keyof V, 'kind'>]: Field<V[P]> };

/**
 * An array whose first place is a number that says what the others are; in memory an object with a
 * `kind`. The places follow the order in which a variant's fields are written down.
 */
export function tagged<T extends Readonly<{ kind: string }>>(variants: {
  [K in T['kind']]: readonly [tag: number, fields: FieldsOf<Extract<T, { kind: K }>>];
}): Field<T> {
  const known = Object.entries<readonly [number, Readonly<Record<string, Field<unknown>>>]>(
    variants as never,
  ).map(([kind, [tag, fields]]) => ({ kind, tag, fields: Object.entries(fields) }));
  return {
    write: (value) => {
      const { tag, fields } = known.find(({ kind }) => kind === value.kind)!;
      const places = value as unknown as Readonly<Record<string, unknown>>;
      return [tag, ...fields.map(([place, field]) => field.write(places[place]))];
    },
    read: (value) => {
      const [tag, ...rest] = Array.isArray(value) ? (value as CborValue[]) : [];
      const variant = known.find((one) => one.tag === tag);
      if (!variant) throw malformed('an entry of unknown kind');
      if (rest.length !== variant.fields.length) throw malformed(`not a ${variant.kind}`);
      const places = variant.fields.map(([place, field], i) => [place, field.read(rest[i]!)]);
      return Object.freeze({ kind: variant.kind, ...Object.fromEntries(places) }) as T;
    },
  };
}

/** ISO 4217 code with its exponent, both signed: [tstr, uint]. */
export const currency: Field<string> = {
  write: (code) => [code, requireExponent(code)],
  read: (value) => {
    const [code, exponent] = tuple<[string, number]>(currencyCode, integer(0, 4)).read(value);
    requireSameExponent(code, exponent);
    return code;
  },
};

/** An amount of money to move, more than zero: [currency, exponent, minor units]. */
export const amount: Field<Money> = {
  write: (money) => {
    if (money.minor <= 0n) throw malformed('an amount of zero or less');
    return [money.currency, requireExponent(money.currency), minor.write(money.minor)];
  },
  read: (value) => {
    const [code, exponent, units] = tuple<[string, number, number]>(
      currencyCode,
      integer(0, 4),
      integer(1),
    ).read(value);
    requireSameExponent(code, exponent);
    return Object.freeze({ currency: code, minor: BigInt(units) });
  },
};

/** A public key as COSE_Key (RFC 9052 §7), required members only. */
export const publicKey: Field<PublicKey> = { write: coseKey, read: parseCoseKey };

const currencyCode: Field<string> = same((value) => {
  if (typeof value !== 'string' || !/^[A-Z]{3}$/.test(value)) {
    throw malformed('not a currency code of three capital letters');
  }
  return value;
});

function requireExponent(code: string): number {
  const exponent = exponentOf(code);
  if (exponent === undefined) throw new PaymentError('currency_unknown', `currency ${code}`);
  return exponent;
}

function requireSameExponent(code: string, exponent: number): void {
  if (requireExponent(code) !== exponent) {
    throw new PaymentError('currency_mismatch', `${code} has not ${exponent} decimals`);
  }
}

function same<T extends CborValue>(read: (value: CborValue) => T): Field<T> {
  return { write: read, read };
}

function named<T>(field: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    throw new PaymentError(error.reason, `${field}: ${error.message}`, { cause: error });
  }
}

function utf8Length(value: string): number {
  let length = 0;
  for (const character of value) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}

/** A refusal of the form; also for the checks of single kinds. */
export function malformed(message: string): PaymentError {
  return new PaymentError('malformed', message);
}
