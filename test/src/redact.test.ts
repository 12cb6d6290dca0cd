// Method: everything that must not leave the machine is planted where it could turn up, and the
// result is searched for it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { redact, redactLog, redactSettings } from '../../src/redact.ts';
import { LOCAL } from '../certificates.ts';

const MANDATE = '4f1c2d3e4f5061728394a5b6c7d8e9fa';
const SECRET = '9b'.repeat(32);

test('keys, secrets, ids and passwords go; paths, urls and the rest stay', () => {
  const [{ key }] = LOCAL;
  const url = 'mqtts://bob:hunter2@broker.local:8883';
  const text = `see ${key}then ${SECRET} at ${url}, mandate ${MANDATE}`;
  const kept = redact(text);
  for (const line of key.trim().split('\n')) expect(kept).not.toContain(line);
  for (const planted of [SECRET, MANDATE, 'hunter2', 'bob']) expect(kept).not.toContain(planted);
  expect(kept).toContain('mqtts://[removed]@broker.local:8883');
  expect(kept, 'the beginning tells two apart').toContain('mandate 4f1c2d3e…');
  expect(redact('/var/lib/saytap-device/outbox.db, key ac55a75a6734a77a')).toBe(
    '/var/lib/saytap-device/outbox.db, key ac55a75a6734a77a',
  );
  expect(redact('-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG')).toBe('[removed]');
  expect(redact('token xYzAbCdEf0123456789AbCdEf0123456789AbCdEf01')).toBe('token [removed]');
});

test('no secret of 16 bytes or more is left, wherever it stands', () => {
  const secrets = fc.uint8Array({ minLength: 16, maxLength: 64 });
  fc.assert(
    fc.property(secrets, fc.constantFrom(' ', '"', '=', ':', '/'), (bytes, before) => {
      const secret = Buffer.from(bytes).toString('hex');
      expect(redact(`why${before}${secret} `)).not.toContain(secret);
    }),
  );
});

test('names are taken out wherever they stand, the longer one whole', () => {
  expect(redact('Luckin Coffee, Luckin', ['Luckin', 'Luckin Coffee'])).toBe('[removed], [removed]');
});

test('a configuration keeps its paths, not what somebody typed in their place', () => {
  const kept = redactSettings(
    'folder: till\nkeys:\n  store: pkcs11\n  token: till\n  pin: "73519"\nmqtt:\n' +
      '  url: mqtt://bob:hunter2@h:1883\n  password: hunter2\n  key: tls.key.pem\n',
  );
  expect(kept).toBe(
    'folder: till\nkeys:\n  store: pkcs11\n  token: [removed]\n  pin: [removed]\nmqtt:\n' +
      '  url: mqtt://[removed]@h:1883\n  password: [removed]\n  key: tls.key.pem\n',
  );
});

test('of a log events above debug are left, and nothing that was said at the till', () => {
  const head = '2026-11-20T09:17:00+0000 till saytap[812]: ';
  const event = (fields: object) =>
    head + JSON.stringify({ time: 't', program: 'device', ...fields });
  const kept = redactLog(
    [
      '2026-11-20T09:16:59+0000 till systemd[1]: Started saytap device.',
      `${head}Pay 12.50 yuan to Luckin Coffee?`,
      event({ level: 'debug', event: 'proposal', payee: 'luckin-coffee', minor: '1250' }),
      event({ level: 'warn', event: 'broker away, waiting', why: 'for mqtt://bob:hunter2@h' }),
      event({
        level: 'warn',
        event: 'refused',
        mandate: MANDATE,
        amount: '12.50',
        why: 'of 12.50',
      }),
      `${head}{"level":"warn","event":`,
    ].join('\n'),
    ['Luckin Coffee', 'luckin-coffee'],
  );
  expect(kept.split('\n')).toEqual([
    '2026-11-20T09:16:59+0000 till systemd[1]: Started saytap device.',
    '{"time":"t","program":"device","level":"warn","event":"broker away, waiting",' +
      '"why":"for mqtt://[removed]@h"}',
    '{"time":"t","program":"device","level":"warn","event":"refused","why":"of [removed]"}',
    '(3 lines that are no event above debug are left out)',
    '',
  ]);
});
