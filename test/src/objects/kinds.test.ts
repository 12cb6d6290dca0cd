// Method: the vectors are the specification. Every valid one is read and written to the bit, every
// invalid one is refused with its code, and the files are what test/vectors/make.ts makes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { type CborValue, decodeCbor } from '../../../src/cbor.ts';
import { type Realm, aadOf, identify, sigStructure } from '../../../src/cose.ts';
import { PaymentError, REASONS, type Reason } from '../../../src/errors.ts';
import { toJson } from '../../../src/inspect.ts';
import { type Algorithm, loadKey, parseCoseKey } from '../../../src/keys.ts';
import { type Kind, open, seal } from '../../../src/objects/kind.ts';
import { KINDS, type KindName, kindNamed } from '../../../src/objects/kinds.ts';
import { protectedOf, signerOf } from '../../vectors/cases.ts';
import { VECTORS_FOLDER, makeVectors } from '../../vectors/make.ts';

type Valid = Readonly<{
  name: string;
  why: string;
  realm: Realm;
  kind: KindName;
  key: Readonly<{
    algorithm: Algorithm;
    coseKeyHex: string;
    thumbprintHex: string;
    kidHex: string;
    privateHexForTestsOnly: string;
  }>;
  payloadHex: string;
  aadText: string;
  sigStructureHex: string;
  digestHex: string;
  idHex: string;
  envelopeHex: string;
  envelopeBytes: number;
  json: unknown;
}>;
type Invalid = Readonly<{
  name: string;
  why: string;
  realm: Realm;
  kind: KindName;
  keyHex: string;
  envelopeHex: string;
  reason: Reason;
}>;
type File = Readonly<{ valid: readonly Valid[]; invalid: readonly Invalid[] }>;

const names = Object.keys(KINDS) as KindName[];
const files = new Map(
  names.map((kind) => [
    kind,
    JSON.parse(readFileSync(join(VECTORS_FOLDER, `${kind}.json`), 'utf8')) as File,
  ]),
);
const kindOf = (name: KindName) => KINDS[name] as Kind<unknown>;
const keyFrom = (hex: string) => loadKey(parseCoseKey(decodeCbor(fromHex(hex))));

function reasonOf(run: () => unknown): Reason | 'accepted' {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

test('the files are what make.ts makes', () => {
  for (const [name, text] of makeVectors()) {
    const committed = readFileSync(join(VECTORS_FOLDER, name), 'utf8');
    expect.soft(committed === text, `${name}: run npm run vectors and look at the diff`).toBe(true);
  }
});

describe.each(names)('%s', (name) => {
  const { valid, invalid } = files.get(name)!;
  const kind = kindOf(name);

  test('has vectors of every sort', () => {
    expect(valid.map((vector) => vector.name)).toContain('minimal');
    expect(valid.some(({ key }) => key.algorithm === 'EdDSA')).toBe(true);
    expect(invalid.length).toBeGreaterThan(60);
    const all = [...valid, ...invalid].map((vector) => vector.name);
    expect(new Set(all).size, 'names are unique').toBe(all.length);
  });

  test.each(valid)('accepts: $name ($why)', async (vector) => {
    const key = keyFrom(vector.key.coseKeyHex);
    expect(key.algorithm).toBe(vector.key.algorithm);
    expect(key.name).toBe(vector.key.thumbprintHex);
    expect(toHex(key.kid)).toBe(vector.key.kidHex);

    const envelope = fromHex(vector.envelopeHex);
    const opened = open(kind, envelope, vector.realm, (kid) =>
      toHex(kid) === vector.key.kidHex ? key : undefined,
    );
    expect(toJson(opened.value)).toEqual(vector.json);
    expect(toHex(opened.digest)).toBe(vector.digestHex);
    expect(opened.id).toBe(vector.idHex);
    expect(vector.idHex).toBe(vector.digestHex.slice(0, 32));
    expect(envelope.length).toBe(vector.envelopeBytes);

    expect(toHex(kind.encode(opened.value))).toBe(vector.payloadHex);
    const aad = aadOf(vector.realm, name);
    expect(new TextDecoder().decode(aad)).toBe(vector.aadText);
    const structure = sigStructure(protectedOf(key.public), aad, fromHex(vector.payloadHex));
    expect(toHex(structure)).toBe(vector.sigStructureHex);
    expect(identify(envelope, vector.realm, name).id).toBe(vector.idHex);

    const signer = signerOf(vector.key.algorithm, fromHex(vector.key.privateHexForTestsOnly));
    const sealed = await seal(kind, opened.value, vector.realm, signer);
    expect(toHex(sealed)).toBe(vector.envelopeHex);
  });

  test.each(invalid)('refuses: $name ($why): $reason', (vector) => {
    expect(REASONS[vector.reason]).toBeDefined();
    const key = keyFrom(vector.keyHex);
    const run = () =>
      open(kindOf(vector.kind), fromHex(vector.envelopeHex), vector.realm, () => key);
    expect(reasonOf(run)).toBe(vector.reason);
  });

  test('writing refuses what reading refuses', () => {
    for (const { json, payloadHex } of valid) {
      const value = kind.decode(decodeCbor(fromHex(payloadHex))) as Record<string, unknown>;
      for (const field of Object.keys(json as object)) {
        for (const wrong of [Symbol('never'), -1, 2 ** 60, 'no\nname', [], {}]) {
          const broken = { ...value, [field]: wrong };
          // A bug of the caller may be a TypeError; what must not happen is an encoding of it.
          const attempt = () => kind.decode(decodeCbor(kind.encode(broken)));
          expect.soft(attempt, `${field} = ${String(wrong)}`).toThrow();
        }
      }
    }
  });
});

describe('kinds together', () => {
  test('there are eleven, named as in their table', () => {
    expect(names.length).toBe(11);
    for (const name of names) expect(kindOf(name).name).toBe(name);
    expect(kindNamed('toString')).toBeUndefined();
  });

  test('a field number means the same name in every kind', () => {
    const meanings = new Map<number, string>();
    for (const name of names) {
      for (const [number, field] of kindOf(name).fields) {
        expect.soft(meanings.get(number) ?? field, `${number} in ${name}`).toBe(field);
        meanings.set(number, field);
      }
    }
    expect(new Set(meanings.values()).size, 'and a name has one number').toBe(meanings.size);
  });

  test('a payload decodes as exactly one kind', () => {
    for (const [name, { valid }] of files) {
      for (const { payloadHex, name: vector } of valid) {
        const payload = decodeCbor(fromHex(payloadHex));
        const takers = names.filter(
          (other) => reasonOf(() => kindOf(other).decode(payload)) === 'accepted',
        );
        expect.soft(takers, `${name}: ${vector}`).toEqual([name]);
      }
    }
  });

  test('no two kinds could share a payload: one requires what the other does not know', () => {
    // Required is what no valid vector lacks (the minimal ones see to that).
    const required = new Map(
      names.map((name) => {
        const keys = files.get(name)!.valid.map(({ payloadHex }) => {
          const payload = decodeCbor(fromHex(payloadHex)) as ReadonlyMap<number, CborValue>;
          return new Set(payload.keys());
        });
        const [first, ...others] = keys;
        const all = [...first!].filter((key) => others.every((other) => other.has(key)));
        return [name, all] as const;
      }),
    );
    for (const one of names) {
      for (const other of names) {
        if (one === other) continue;
        const isApart =
          required.get(one)!.some((number) => !kindOf(other).fields.has(number)) ||
          required.get(other)!.some((number) => !kindOf(one).fields.has(number));
        expect.soft(isApart, `${one} and ${other}`).toBe(true);
      }
    }
  });
});

describe('the CDDL of PROTOCOL.md', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../PROTOCOL.md'), 'utf8');

  test.each(names)('of %s has the fields of the code, and the optional ones marked', (name) => {
    const block = new RegExp(`^${name} = \\{\\n([^]*?)^\\}`, 'm').exec(text)?.[1] ?? '';
    const rows = [...block.matchAll(/^ {2,4}(\?|\()? ?(\d+) +=> /gm)].map((row) => Number(row[2]));
    const optional = [...block.matchAll(/^ {2}\? (\d+) +=> /gm)].map((row) => Number(row[1]));
    expect(rows).toEqual([...kindOf(name).fields.keys()].sort((a, b) => a - b));
    // The one choice, between two fields of a revoke, is written as a group.
    const either = name === 'revoke' ? [10, 45] : [];
    const needed = rows.filter((number) => ![...optional, ...either].includes(number));
    const minimal = files
      .get(name)!
      .valid.map(
        ({ payloadHex }) =>
          new Set((decodeCbor(fromHex(payloadHex)) as ReadonlyMap<number, CborValue>).keys()),
      );
    const always = rows.filter((number) => minimal.every((keys) => keys.has(number)));
    expect(needed).toEqual(always);
  });

  test('the table of fields has every number with its name', () => {
    for (const name of names) {
      for (const [number, field] of kindOf(name).fields) {
        const row = new RegExp(`^\\| ${number} +\\| \`${field}\` +\\| .*\\b${name}\\b`, 'm');
        expect.soft(row.test(text), `${number} ${field} in ${name}`).toBe(true);
      }
    }
  });
});

describe('byte budgets of PROTOCOL.md', () => {
  const rows = [
    { kind: 'request', vector: 'budget', max: 200 },
    { kind: 'request', vector: 'budget with order', max: 256 },
    { kind: 'receipt', vector: 'captured', max: 256 },
    { kind: 'mandate', vector: 'budget', max: 520 },
  ] as const;
  test.each(rows)('$kind "$vector" is at most $max bytes', ({ kind, vector, max }) => {
    const { envelopeBytes } = files.get(kind)!.valid.find(({ name }) => name === vector)!;
    console.log(`${kind} "${vector}": ${envelopeBytes} bytes of ${max}`);
    expect(envelopeBytes).toBeLessThanOrEqual(max);
  });

  test('the table of PROTOCOL.md has the measured figures', () => {
    const text = readFileSync(join(import.meta.dirname, '../../../PROTOCOL.md'), 'utf8');
    for (const [kind, { valid }] of files) {
      for (const { name, envelopeBytes } of valid) {
        if (name === 'live' || name === 'EdDSA') continue;
        const row = `| ${kind} | ${name} | ${envelopeBytes} |`;
        expect.soft(text.includes(row), row).toBe(true);
      }
    }
  });
});
