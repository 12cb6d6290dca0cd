// Method: what a collector reads over real HTTP.
import { request } from 'node:http';
import { expect, test } from 'vitest';
import { createMetrics } from '../../../src/node/metrics.ts';

test('a collector reads counters, and gauges as they are at that moment', async () => {
  const metrics = createMetrics('device');
  const count = metrics.counter('receipts_total', 'Final receipts.', ['outcome']);
  let waiting: number | undefined = 3;
  metrics.gauge('waiting', 'Entries.', () => waiting);
  count({ outcome: 'captured' });
  count({ outcome: 'captured' });
  const server = await metrics.serve(0);
  const read = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: answer.status, text: await answer.text(), type: answer.headers };
  };
  const first = await read('/metrics');
  expect(first.status).toBe(200);
  expect(first.type.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(first.text).toContain('saytap_device_receipts_total{outcome="captured"} 2');
  expect(first.text).toContain('saytap_device_waiting 3');
  expect(first.text).toMatch(/saytap_device_memory_bytes [1-9]\d{6,}/);
  waiting = 4;
  expect((await read('/metrics')).text).toContain('saytap_device_waiting 4');
  waiting = undefined;
  expect((await read('/metrics')).text).not.toMatch(/^saytap_device_waiting/m);
  expect((await read('/')).status).toBe(404);
  await server.close();
});

test('two programs in one process do not share their numbers', async () => {
  const [one, other] = [createMetrics('device'), createMetrics('device')];
  one.counter('n_total', 'n', [])({});
  other.counter('n_total', 'n', []);
  expect(await one.text()).toContain('saytap_device_n_total 1');
  expect(await other.text()).toContain('saytap_device_n_total 0');
});

test.each([
  ['127.0.0.1:9464', 200],
  ['localhost', 200],
  ['evil.example:9464', 403],
  ['127.0.0.1.evil.example', 403],
])('a page that has its own name lead to this machine reads nothing: %s', async (host, status) => {
  const server = await createMetrics('device').serve(0);
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    const options = { port: server.port, host: '127.0.0.1', path: '/metrics', headers: { host } };
    request(options, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
  expect(answered).toBe(status);
  await server.close();
});
