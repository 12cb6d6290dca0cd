// Method: real servers that do not speak MQTT, real certificates, and a clock that can be moved.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createSecureServer } from 'node:tls';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { openCertificateAuthority } from '../../broker/ca.ts';
import { checkBroker, checkCertificate } from '../../src/checks.ts';
import type { Certified } from '../../src/node/http.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { surroundings } from '../../src/node/surroundings.ts';
import { readPublicPem } from '../../src/signer.ts';
import { ELSEWHERE, LOCAL } from '../certificates.ts';
import { freePort } from '../site.ts';

const folder = mkdtempSync(join(tmpdir(), 'saytap-checks-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

async function serve({ certificate, key }: Certified): Promise<number> {
  const server = createSecureServer({ cert: certificate, key }, (socket) => {
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

test('a broker that is believed, and until when', async () => {
  const port = await serve(LOCAL[0]);
  const url = `mqtts://localhost:${port}`;
  expect(await checkBroker(surroundings, url, () => ({ ca: LOCAL[0].certificate }))).toEqual({
    state: 'ok',
    says: `${url} answers, its certificate holds until 2126-10-27 15:02:51 UTC`,
  });
});

test('a broker of a foreign authority, with its dates and whose it is', async () => {
  const port = await serve(LOCAL[1]);
  const told = await checkBroker(surroundings, `mqtts://localhost:${port}`, () => ({
    ca: LOCAL[0].certificate,
  }));
  expect(told.state).toBe('wrong');
  expect(told.says).toMatch(/a certificate that the authority in mqtt\.ca has not issued/);
  expect(told.says).toMatch(/\(it is for .*localhost.*, from 2026-.* to 2126-.*, by CN=two\)$/);
  expect(told.fix).toContain("put the certificate of the site's own authority there");
});

test("a broker with another host's certificate", async () => {
  const port = await serve(ELSEWHERE);
  const told = await checkBroker(surroundings, `mqtts://localhost:${port}`, () => ({
    ca: ELSEWHERE.certificate,
  }));
  expect(told).toMatchObject({ state: 'wrong' });
  expect(told.says).toMatch(/is not for localhost \(it is for DNS:bridge\.example, /);
  expect(told.fix).toContain('saytap broker config --host localhost');
});

test('nobody there, and somebody who says nothing', async () => {
  const url = `mqtt://127.0.0.1:${await freePort()}`;
  const told = await checkBroker(surroundings, url, () => ({}));
  expect(told).toMatchObject({
    state: 'wrong',
    fix: expect.stringContaining('start the broker') as string,
  });
  const silent = createServer((socket) => socket.destroy());
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done));
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const cut = await checkBroker(surroundings, `mqtts://127.0.0.1:${port}`, () => ({}));
  expect(cut.state).toBe('wrong');
});

test('a certificate that ended, begins later, soon ends, is for another, or of another', () => {
  const authority = openCertificateAuthority(files, random, clock, folder);
  const { publicKey } = readKey();
  const issued = authority.issueClient('kiosk-1', publicKey, 100);
  writeFileSync(at('own.pem'), issued);
  const renew = 'renew it';
  const expected = { ca: at('ca.pem'), name: 'kiosk-1', renew };
  const checked = (days: number, more: object = {}) => {
    const moved = { ...clock, nowMs: () => clock.nowMs() + days * 86_400_000 };
    return checkCertificate({ files, clock: moved }, at('own.pem'), { ...expected, ...more });
  };
  expect(checked(0)).toMatchObject({
    state: 'ok',
    says: expect.stringMatching(/ (99|100) days$/) as string,
  });
  expect(checked(90)).toMatchObject({ state: 'wrong', fix: renew });
  expect(checked(90).says).toMatch(/ends .* UTC, in (9|10) days$/);
  expect(checked(101).says).toMatch(/^the certificate of kiosk-1 ended .* UTC$/);
  expect(checked(-600).says).toMatch(/begins only /);
  expect(checked(0, { name: 'kiosk-2' }).says).toMatch(/is for kiosk-1, not for kiosk-2$/);
  writeFileSync(at('other.pem'), LOCAL[0].certificate);
  expect(checked(0, { ca: at('other.pem') }).says).toMatch(/did not issue/);
});

function readKey() {
  return { publicKey: readPublicPem(LOCAL[0].key) };
}
