/** `saytap device`: a device as a program. */
import { programCommand } from '../command.ts';

export const command = programCommand('device', {
  summary: 'glasses or a kiosk, with a prompt',
  about: 'Runs until its input ends, SIGTERM or Ctrl-C.',
  examples: ['device --config /tmp/demo/glasses.yaml'],
});
