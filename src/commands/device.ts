/** `saytap device`: a device as a program, how it gets its key, and the devices of a bridge. */
import { defineCommand, programCommand } from '../command.ts';
import { OperatorError } from '../errors.ts';
import { atBridge } from './devices.ts';
import { pin, transcript } from './pin.ts';

/** What is built for a device (build.ts) asks no bridge about others. */
declare const SAYTAP_SIDE: 'device' | 'bridge';

const enrol = defineCommand({
  summary: 'on the device: makes its key and waits until a person has approved it',
  about:
    'Needs enrol: with the url of the bridge in the configuration of the device. Shows a QR code ' +
    'and a short code; what it was given lies in its folder then, and the device can start. It ' +
    'may be stopped and run again at any time: it goes on with the same code.',
  inputs: [
    {
      value: 'CONFIG',
      says: 'the configuration of the device',
      needs: "the device's configuration",
    },
  ],
  options: { again: { says: 'with a new key, when the old one counts no more' } },
  examples: ['device enrol kiosk.yaml', 'device enrol kiosk.yaml --again'],
  async run({ options, inputs }, { program, write }) {
    return (await program('device')).enrol(inputs[0]!, options.again, write);
  },
});

const renew = defineCommand({
  summary: 'on the device: a new key while it runs; name and mandates stay',
  about:
    'It does so by itself when two thirds of the life of its Key statement are over. The old key ' +
    'pays until the new one is proved. Mandates are passed on twice; the third time the wallet ' +
    'grants anew, for a chain has three links.',
  inputs: [
    {
      value: 'CONFIG',
      says: 'the configuration of the device',
      needs: "the device's configuration",
    },
  ],
  examples: ['device renew kiosk.yaml'],
  async run({ inputs }, { program, write }) {
    (await program('device')).renew(inputs[0]!, write);
  },
});

const idle = defineCommand({
  summary: 'exit code 0 when the device may be updated now, 1 when not',
  about:
    'Nobody is in the middle of a payment then, and the device begins none for 60 s: replace the ' +
    'program and restart it in that time. What is confirmed and waits for the bridge is on disk, ' +
    'and the new program sends it. A device that does not run may always be updated.',
  options: {
    config: { value: 'FILE', says: 'the configuration of the device, YAML', needed: true },
    wait: { value: 'SECONDS', whole: [0, 86_400], says: 'wait so long for a good moment' },
  },
  examples: ['device idle --config /etc/saytap/device.yaml --wait 600'],
  async run({ options }, { program, write }) {
    const waitMs = (options.wait ?? 0) * 1000;
    if (!(await (await program('device')).mayUpdate(options.config, waitMs))) {
      throw new OperatorError('failed', 'somebody is paying: ask again, or wait with --wait');
    }
    write('may be updated');
  },
});

export const command = programCommand('device', {
  summary: 'glasses or a kiosk, with a prompt; the devices of a bridge',
  about:
    'Without a subcommand it is a device, with the configuration of one, and runs until its ' +
    'input ends, SIGTERM or Ctrl-C. The subcommands look at the devices of a bridge, and stop ' +
    'them: there --config is the configuration of the bridge.',
  examples: [
    'device --config /tmp/demo/glasses.yaml',
    'device list --config /tmp/demo/bridge.yaml',
  ],
  commands: {
    ...{ enrol, renew, idle, pin, transcript },
    ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && atBridge),
  },
});
