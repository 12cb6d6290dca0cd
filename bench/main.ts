/**
 * `npm run bench`: bytes, codecs and signatures, the floor of one payment, the whole bridge beside
 * it, the same with HTTPS and JWS, load on a schedule, a device that comes back with a full outbox,
 * all real programs end to end, and storms. Machines are shared and noisy: read the ratios, and
 * docs/speed.md for what they mean.
 *
 * Usage: npm run bench [-- bytes|codec|floor|pipeline|http|load|device|drain|mqtt|storm ...]; all
 * of them without a name.
 */
import { cpus } from 'node:os';

type Part = (write: (line: string) => void) => Promise<void>;
const PARTS: Readonly<Record<string, () => Promise<Part>>> = {
  bytes: async () => (await import('./bytes.ts')).measureBytes,
  codec: async () => (await import('./codec.ts')).measureCodec,
  floor: async () => (await import('./floor.ts')).measureFloor,
  pipeline: async () => (await import('./pipeline.ts')).measurePipeline,
  http: async () => (await import('./http.ts')).measureHttp,
  load: async () => (await import('./load.ts')).measureLoad,
  device: async () => (await import('./device.ts')).measureDevice,
  drain: async () => (await import('./drain.ts')).measureDrain,
  mqtt: async () => (await import('./mqtt.ts')).measureMqtt,
  storm: async () => (await import('./storm.ts')).measureStorm,
};

const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !Object.hasOwn(PARTS, name));
if (unknown.length > 0) {
  console.error(
    `bench: there is no ${unknown.join(', ')}; choose from ${Object.keys(PARTS).join(', ')}`,
  );
  process.exit(2);
}
console.log(
  `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`,
);
for (const [name, load] of Object.entries(PARTS)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const measure = await load();
  await measure((line) => console.log(line));
}
process.exit(); // Some parts leave connections of libraries behind that would close by and by.
