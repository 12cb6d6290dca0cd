/**
 * `saytap device pin` and `saytap device transcript`: what the owner of a device does about
 * confirmations at P3, on the device itself.
 */
import { type Command, type Input, defineCommand } from '../command.ts';
import { OperatorError } from '../errors.ts';

const CONFIG: Input = {
  value: 'CONFIG',
  says: 'the configuration of the device',
  needs: "the device's configuration",
};

const set = defineCommand({
  summary: 'asks for a new PIN, twice; also after too many wrong ones',
  about:
    'It counts at once, the device may be running. It is asked for where the policy or the ' +
    'mandate needs P3, and only if the Key statement of the device allows it.',
  inputs: [CONFIG],
  examples: ['device pin set glasses.yaml'],
  async run({ inputs }, { program, askSecret, write }) {
    const device = await program('device');
    const digits = await askSecret('New PIN: ');
    const again = await askSecret('Once more: ');
    if (digits !== again) {
      throw new OperatorError('failed', 'the two are not the same: nothing was set');
    }
    device.setPin(inputs[0]!, digits);
    write('the PIN is set');
  },
});

const clear = defineCommand({
  summary: 'forgets the PIN: amounts that need one are refused',
  inputs: [CONFIG],
  examples: ['device pin clear glasses.yaml'],
  async run({ inputs }, { program, write }) {
    (await program('device')).clearPin(inputs[0]!);
    write('the device has no PIN');
  },
});

export const pin: Command = Object.freeze({
  summary: 'on the device: sets or clears its PIN',
  examples: ['device pin set glasses.yaml', 'device pin clear glasses.yaml'],
  commands: { set, clear },
});

export const transcript = defineCommand({
  summary: 'on the device: what was shown and done for a payment at P3',
  about:
    'For a dispute: the bytes whose SHA-256 the payment carries (saytap evidence names it). ' +
    'The device must not be running. They are kept as long as the payment is.',
  inputs: [
    CONFIG,
    { value: 'PAYMENT', says: 'its id, 32 hex digits', needs: 'the id of a payment' },
  ],
  examples: ['device transcript glasses.yaml 1f3870be274f6c49b3e31a0c6728957f'],
  async run({ inputs }, { program, write }) {
    write((await program('device')).transcriptOf(inputs[0]!, inputs[1]!));
  },
});
