// Configuration files as people get them wrong: every problem in one go, with place, value and way
// out, and no secret on the screen. The schema is the bridge's own, the largest there is.
import * as z from 'zod/mini';
import { describe, expect, test } from 'vitest';
import { bridgeConfig } from '../../broker/config.ts';
import { deviceConfig } from '../../device/config.ts';
import { parseConfig } from '../../src/config.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { CONFIG_BYTES_MAX } from '../../src/limits.ts';

const GOOD = `
environment: sim
ledger: demo
folder: bridge
root: root.pub.pem
statements: statements
policy: platform.policy
mqtt: { listen: { host: 127.0.0.1, port: 0 } }
risk: { url: "http://127.0.0.1:7100", secret: risk.secret }
backends: [{ kind: ledger, url: "http://127.0.0.1:7200", secret: ledger.secret }]
`;

function refusal(text: string, schema: z.ZodMiniType = bridgeConfig): string {
  try {
    parseConfig(schema, text, 'bridge.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).exit).toBe(EXITS.config);
    return (error as OperatorError).message;
  }
  return 'accepted';
}

test('a good file gives its values with the defaults, frozen', () => {
  const config = parseConfig(bridgeConfig, GOOD, 'bridge.yaml');
  expect(config).toEqual({
    environment: 'sim',
    ledger: 'demo',
    folder: 'bridge',
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
    mqtt: { listen: { host: '127.0.0.1', port: 0 } },
    risk: { url: 'http://127.0.0.1:7100', secret: 'risk.secret' },
    backends: [
      { kind: 'ledger', name: 'ledger', url: 'http://127.0.0.1:7200', secret: 'ledger.secret' },
    ],
    log: 'info',
  });
  expect(Object.isFrozen(config)).toBe(true);
});

test('every problem at once, each with path, value and what is allowed', () => {
  const text = GOOD.replace('environment: sim', 'environment: test')
    .replace('ledger: demo', 'ledger: my ledger')
    .replace('folder: bridge', 'folder: 7')
    .replace('root: root.pub.pem\n', '')
    .replace('http://127.0.0.1:7100', 'http://127.0.0.1:7100/path')
    .concat('colour: red\nlog: loud\n');
  expect(refusal(text).split('\n')).toEqual([
    'bridge.yaml has 7 problems:',
    '  environment: is "test"; allowed: sim, live',
    '  ledger: is "my ledger"; allowed: a name of 1 to 64 characters A-Z a-z 0-9 _ -',
    '  folder: is 7; allowed: a string',
    '  root: is missing; allowed: a string',
    '  risk.url: is "http://127.0.0.1:7100/path"; allowed: a URL like http://127.0.0.1:7100, ' +
      'without a path',
    '  log: is "loud"; allowed: debug, info, warn, error',
    '  colour: is not a setting',
  ]);
});

test.each([
  ['a number out of range', 'port: 70000', 'port: is 70000; allowed: at most 65535'],
  ['a number below', 'port: -1', 'port: is -1; allowed: at least 0'],
  ['no whole number', 'port: 1.5', 'port: is 1.5; allowed: a port'],
  ['text for a number', 'port: "80"', 'port: is "80"; allowed: a port'],
  ['a missing number', '{}', 'port: is missing; allowed: a port'],
  ['a list for a map', '[1]', '(the whole file): is a list; allowed: an object'],
  ['any other text', 's3cret', '(the whole file): is no configuration; allowed: an object'],
  ['an empty file', '', 'port: is missing; allowed: a port'],
])('%s: %s', (_why, text, line) => {
  const port = z.int('a port').check(z.minimum(0), z.maximum(65_535));
  expect(refusal(text, z.strictObject({ port }))).toBe(`bridge.yaml has one problem:\n  ${line}`);
});

test('a key in the place of a configuration is named so, and nothing of it is told', () => {
  const pem = '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByq\n-----END PRIVATE KEY-----\n';
  expect(refusal(pem)).toBe('bridge.yaml is a key, not a configuration');
});

test('a choice between two forms is told as one problem', () => {
  const other = GOOD.replace(/mqtt: .*/, 'mqtt: { listen: { host: localhost } }');
  expect(refusal(other).split('\n')).toEqual([
    'bridge.yaml has one problem:',
    '  mqtt: is {"listen":{"host":"localhost"}}; allowed: either url of a broker ' +
      '(with password, a file, or with mqtts:// and ca, certificate and key, PEM files), ' +
      'or listen with host and port to embed one',
  ]);
  expect(refusal(GOOD.replace(/mqtt: .*\n/, ''))).toContain('mqtt: is missing; allowed: either');
});

describe('secrets are not echoed', () => {
  test.each([
    ['in the field for a path', GOOD.replace('secret: risk.secret', 'secret: [hunter2]')],
    ['inside a map that is wrong', GOOD.replace(/mqtt: .*/, 'mqtt: { url: 5, password: hunter2 }')],
    ['in a URL', GOOD.replace('http://127.0.0.1:7100', 'http://me:hunter2@127.0.0.1:7100/x')],
    ['in a URL in a map', GOOD.replace(/mqtt: .*/, 'mqtt: { url: "mqtt://me:hunter2@host/x" }')],
    ['under a setting that does not exist', `${GOOD}password: hunter2\n`],
    ['where YAML breaks', `${GOOD}secret: "hunter2\n`],
    ['twice', `${GOOD}secret: hunter2\nsecret: hunter2\n`],
  ])('%s', (_why, text) => {
    expect(refusal(text)).toMatch(/^bridge.yaml has /);
    expect(refusal(text)).not.toContain('hunter2');
  });
});

test.each([
  ['a key twice', `${GOOD}ledger: other\n`, 'line 11: Map keys must be unique'],
  ['a tab', 'ledger: demo\n\tfolder: x\n', 'line 2: '],
  ['an open quote', 'ledger: "demo\n', 'line 2: Missing closing "quote'],
  ['maps on one line', 'a: b: c\n', 'line 1: Nested mappings are not allowed'],
])('YAML that does not hold together is told with its line: %s', (_why, text, start) => {
  const [first, second] = refusal(text).split('\n');
  expect(first).toMatch(/^bridge.yaml has (one problem|\d problems):$/);
  expect(second).toMatch(new RegExp(`^  ${start}`));
});

test.each([
  ['an alias', 'ledger: &a demo\nfolder: *a\n'],
  ['an alias to itself', 'ledger: &a [*a]\n'],
  ['a bomb of aliases', 'a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n'],
])('%s is refused in one line', (_why, text) => {
  expect(refusal(text)).toBe('bridge.yaml: YAML aliases (*name) are not allowed');
});

test('a file that is too long is not read', () => {
  const text = `${GOOD}#${'x'.repeat(CONFIG_BYTES_MAX)}`;
  expect(refusal(text)).toBe(`bridge.yaml: longer than ${CONFIG_BYTES_MAX} characters`);
});

test('__proto__ is a setting that does not exist', () => {
  expect(refusal(`${GOOD}__proto__: { log: debug }\n`)).toContain('is not a setting');
});

test('the device has its own defaults', () => {
  const text = `
environment: sim
ledger: demo
device: glasses-1
profile: glasses
folder: glasses
root: root.pub.pem
statements: statements
policy: platform.policy
mqtt: { url: "mqtt://127.0.0.1:1883" }
`;
  expect(parseConfig(deviceConfig, text, 'x')).toMatchObject({ language: 'en', log: 'warn' });
  expect(refusal(text.replace('mqtt://', 'http://'), deviceConfig)).toContain(
    'mqtt.url: is "http://127.0.0.1:1883"; allowed: a URL like mqtt://host:1883',
  );
});

test('a screen is a kiosk’s, and its prices are prices', () => {
  const text = `
environment: sim
ledger: demo
device: kiosk-1
profile: kiosk
folder: kiosk
root: root.pub.pem
statements: statements
policy: platform.policy
mqtt: { url: "mqtt://127.0.0.1:1883" }
screen: { listen: { port: 8090 }, currency: CNY, catalogue: [{ text: Latte, price: "20.00" }] }
`;
  const { screen } = parseConfig(deviceConfig, text, 'x');
  expect(screen?.listen).toEqual({ host: '127.0.0.1', port: 8_090 });
  const refused = (from: string, to: string) => refusal(text.replace(from, to), deviceConfig);
  expect(refused('profile: kiosk', 'profile: glasses')).toContain('allowed: only a kiosk has one');
  expect(refused('port: 8090', 'port: 8090, host: 0.0.0.0')).toContain('screen.listen.host');
  for (const price of ['20.001', '0.00', 'twenty', '-1.00']) {
    expect(refused('20.00', price), price).toContain('prices like "20.00"');
  }
  expect(refused('CNY', 'XXX')).toContain('a currency, like CNY');
});
