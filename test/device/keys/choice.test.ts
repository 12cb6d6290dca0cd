// The `keys` of a device's configuration: what is wrong is told by its setting, all at once.
import { expect, test } from 'vitest';
import { deviceConfig } from '../../../device/config.ts';
import { parseConfig } from '../../../src/config.ts';
import { OperatorError } from '../../../src/errors.ts';

const REST = `environment: sim
ledger: story
device: glasses-1
profile: glasses
folder: glasses
root: root.pub.pem
statements: statements
policy: platform.policy
mqtt: { url: mqtt://127.0.0.1 }
`;
const parse = (keys: string) => parseConfig(deviceConfig, REST + keys, 'glasses.yaml').keys;

function problemsOf(keys: string): string {
  try {
    parse(keys);
    return 'none';
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    return (error as OperatorError).message;
  }
}

test('a file unless told', () => {
  expect(parse('')).toEqual({ store: 'file' });
  expect(parse('keys: { store: file }')).toEqual({ store: 'file' });
});

test('a token with its module, label and PIN', () => {
  const keys = { store: 'pkcs11', module: '/usr/lib/x.so', token: 'glasses', pin: 'pin' };
  expect(parse(`keys: ${JSON.stringify(keys)}`)).toEqual(keys);
});

test.each([
  ['{ store: pkcs11 }', ['keys.module', 'keys.token', 'keys.pin']],
  ['{ store: tpm }', ['keys.store']],
  ['{ store: file, pin: x }', ['keys.pin: is not a setting']],
  [`{ store: pkcs11, module: m, pin: p, token: ${'x'.repeat(33)} }`, ['keys.token']],
])('%s', (keys, problems) => {
  const told = problemsOf(`keys: ${keys}`);
  for (const problem of problems) expect(told).toContain(problem);
  expect(told).not.toContain('Invalid input');
});
