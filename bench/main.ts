/**
 * `npm run bench`: bytes, codecs and signatures, the bridge at full durability, and end to end
 * through MQTT, side by side in one run. Machines are shared and noisy: read the ratios.
 *
 * Usage: npm run bench [-- bytes|codec|bridge|mqtt ...]; without a name, all of them.
 */
import { cpus } from 'node:os';
import { measureBridge } from './bridge.ts';
import { measureBytes } from './bytes.ts';
import { measureCodec } from './codec.ts';
import { measureMqtt } from './mqtt.ts';

const PARTS = {
  bytes: measureBytes,
  codec: measureCodec,
  bridge: measureBridge,
  mqtt: measureMqtt,
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
for (const [name, measure] of Object.entries(PARTS)) {
  if (chosen.length === 0 || chosen.includes(name)) await measure((line) => console.log(line));
}
