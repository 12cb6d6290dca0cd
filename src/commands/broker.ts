/** `saytap broker`: a site's own Mosquitto, which lets in only whom the bridge has certified. */
import { defineCommand } from '../command.ts';
import { CERTIFICATE_DAYS_MAX, HAND_CERTIFICATE_DAYS } from '../limits.ts';
import { CONFIG } from './operator.ts';

const config = defineCommand({
  summary: 'writes what Mosquitto needs to keep devices apart',
  about:
    'Writes mosquitto.conf, its access rules, and the key and certificate of the broker into a ' +
    'folder for the machine of the broker, and the certificate of the bridge into the folder of ' +
    'the bridge. The authority behind them lies in the folder of the bridge, made on first use. ' +
    'Run it again after a device was revoked, for another name of the broker, or when a ' +
    'certificate is about to end: what is good is kept, and every change is told. ' +
    'docs/broker.md has the whole way.',
  options: {
    config: CONFIG,
    out: { value: 'DIR', says: 'where the files of the broker go', needed: true },
    host: {
      value: 'NAME',
      many: true,
      says: 'name or address of the broker (beside that in mqtt.url of the configuration)',
    },
    port: {
      value: 'N',
      whole: [1, 65_535],
      says: 'its port (without it: that of mqtt.url, or 8883)',
    },
    at: {
      value: 'DIR',
      says: 'where the broker will have the files (without it: /etc/mosquitto/saytap)',
    },
  },
  examples: [
    'broker config --config bridge.yaml --out mosquitto --host broker.shop.example',
    'broker config --config bridge.yaml --out mosquitto --host broker.local --host 192.168.1.5',
  ],
  async run({ options }, context) {
    const { out: folder, host: hosts, port, at } = options;
    const wanted = { folder, hosts, port, at };
    return (await context.program('bridge')).writeBroker(options.config, wanted, context.write);
  },
});

const certificate = defineCommand({
  summary: 'issues the certificate of a device by hand',
  about:
    'For a device that does not enrol over HTTPS. Best make the key on the device with saytap ' +
    'keygen and bring its public half here with --key; without it a key is made in the folder. ' +
    'The certificate lets the device connect as itself and pays nothing: for that the root has ' +
    'to name its signing key.',
  options: {
    config: CONFIG,
    device: { value: 'NAME', says: 'its name in topics, as in its Key statement', needed: true },
    out: { value: 'DIR', says: 'where its certificates go', needed: true },
    key: { value: 'FILE', says: 'public key of its TLS key, PEM' },
    days: {
      value: 'N',
      whole: [1, CERTIFICATE_DAYS_MAX],
      says: `how long it holds (without it: ${HAND_CERTIFICATE_DAYS})`,
    },
  },
  examples: [
    'broker certificate --config bridge.yaml --device kiosk-1 --out kiosk-1',
    'broker certificate --config bridge.yaml --device kiosk-1 --key tls.pub --out kiosk-1',
  ],
  async run({ options }, context) {
    const { device, out: folder, key, days } = options;
    const wanted = { device, folder, key, days };
    (await context.program('bridge')).certify(options.config, wanted, context.write);
  },
});

export const command = Object.freeze({
  summary: "a site's own broker, with mutual TLS",
  about: 'docs/broker.md goes through it step by step.',
  examples: [
    'broker config --config bridge.yaml --out mosquitto --host broker.shop.example',
    'broker certificate --config bridge.yaml --device kiosk-1 --out kiosk-1',
  ],
  commands: { config, certificate },
});
