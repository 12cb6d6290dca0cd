/**
 * Metrics in Prometheus' text format on a port of the loopback interface: who may read them is
 * whoever is on this machine, and a collector that runs there hands them on.
 *
 * Numbers about the process are read when asked for. prom-client's own set also watches the loop
 * with a timer, which wakes a small board a hundred times a second.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import { HTTP_BYTES_MAX } from '../limits.ts';
import type { HttpQuestion, HttpReply, Metrics } from '../platform.ts';
import { type HttpServer, serveHttp } from './http.ts';

/** Metrics of one program: every name begins with `saytap_` and the program. */
export function createMetrics(program: string): Metrics &
  Readonly<{
    /** As text, for whoever asks. */
    text: () => Promise<string>;
    /** Answers GET /metrics on this port; 0 lets the system choose. Throws OperatorError. */
    serve: (port: number) => Promise<HttpServer>;
  }> {
  const registry = new Registry();
  const nameOf = (name: string) => `saytap_${program}_${name}`;
  const metrics: Metrics = {
    counter(name, help, labels) {
      const options = { name: nameOf(name), help, labelNames: [...labels], registers: [registry] };
      const counter = new Counter(options);
      return (values) => counter.inc(values);
    },
    gauge(name, help, read) {
      new Gauge({
        ...{ name: nameOf(name), help, registers: [registry] },
        collect() {
          const value = read();
          if (value === undefined) this.remove();
          else this.set(value);
        },
      });
    },
  };
  const memory = () => process.memoryUsage.rss();
  const cpu = () => process.cpuUsage();
  metrics.gauge('memory_bytes', 'Memory that the process holds.', memory);
  metrics.gauge('cpu_seconds', 'Processor time of the process since its start.', () => {
    const { user, system } = cpu();
    return (user + system) / 1e6;
  });
  metrics.gauge('up_seconds', 'Time since the start of the process.', () => process.uptime());

  const text = () => registry.metrics();
  return {
    ...metrics,
    text,
    serve: (port) =>
      serveHttp({
        host: '127.0.0.1',
        port,
        portOption: 'metrics.port',
        bytesMax: HTTP_BYTES_MAX,
        answer: (question) => answer(question, text),
      }),
  };
}

async function answer(
  { method, path, headers }: HttpQuestion,
  text: () => Promise<string>,
): Promise<HttpReply> {
  const bytes = (line: string) => new TextEncoder().encode(line);
  // A page whose own name leads to this machine (DNS rebinding) has its browser say that name.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(headers['host'] ?? '')) {
    return { status: 403, body: bytes('for this machine: 127.0.0.1\n'), type: 'text/plain' };
  }
  if (method !== 'GET' || path !== '/metrics') {
    return { status: 404, body: bytes('GET /metrics\n'), type: 'text/plain' };
  }
  return { status: 200, body: bytes(await text()), type: Registry.PROMETHEUS_CONTENT_TYPE };
}
