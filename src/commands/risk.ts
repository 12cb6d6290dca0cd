/** `saytap risk`: the risk service as a program. */
import { programCommand } from '../command.ts';

export const command = programCommand('risk', {
  summary: 'the risk service: allows, asks for more, or denies',
  about: 'Runs until SIGTERM or Ctrl-C. docs/bridge.md tells what its configuration says.',
  examples: ['risk --config /tmp/demo/risk.yaml'],
});
