/** `saytap bridge`: the bridge as a program, the rotation of its key, its backup and restore. */
import { defineCommand, programCommand } from '../command.ts';
import { requireList } from '../files.ts';
import { requireDecision } from './operator.ts';

const rotate = defineCommand({
  summary: 'takes the signing key to the next one, a step at a time',
  about:
    'Run it again and again: it makes next.key.pem in the folder of the bridge, tells what the ' +
    'root has to sign, from when the next key signs, and at the end puts it in place of the old ' +
    'one. The bridge may be running; it switches when it is started after the next statement ' +
    'has begun. docs/keys.md has the whole way.',
  options: { config: { value: 'FILE', says: "the bridge's configuration, YAML", needed: true } },
  examples: ['bridge rotate --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    return (await context.program('bridge')).rotate(options.config, context.write);
  },
});

const backup = defineCommand({
  summary: 'copies what a restore needs, also while the bridge runs',
  about:
    'Writes the store as it is at one moment, the keys, the secrets, the statements and the ' +
    'configuration into a new folder (mode 0700), with the SHA-256 of each file. Keep it as ' +
    'secret as the bridge itself: it holds its private key.',
  options: {
    config: { value: 'FILE', says: "the bridge's configuration, YAML", needed: true },
    out: { value: 'DIR', says: 'folder; made when absent, refused when not empty', needed: true },
  },
  examples: ['bridge backup --config /tmp/demo/bridge.yaml --out /tmp/demo/backup'],
  async run({ options }, context) {
    requireList(context.files, options.out);
    return (await context.program('bridge')).backup(options.config, options.out, context.write);
  },
});

const restore = defineCommand({
  summary: 'puts a backup in the place of what a bridge has',
  about:
    'Stop the bridge first. The store that is there is kept beside the new one. Keys and secrets ' +
    'are put back only where they are missing, because those that are there may be newer. ' +
    'At the end it says what a restore cannot know.',
  options: {
    config: { value: 'FILE', says: "the bridge's configuration, YAML", needed: true },
    from: { value: 'DIR', says: 'what saytap bridge backup wrote', needed: true },
    yes: { says: 'do it without asking' },
  },
  examples: ['bridge restore --config /tmp/demo/bridge.yaml --from /tmp/demo/backup'],
  async run({ options }, context) {
    requireList(context.files, options.from);
    if (!options.yes) await requireDecision(context, 'Replace the store of this bridge?');
    return (await context.program('bridge')).restore(options.config, options.from, context.write);
  },
});

export const command = programCommand('bridge', {
  summary: 'verifies, enforces, pays, answers',
  about: 'Runs until SIGTERM or Ctrl-C. docs/bridge.md tells what its configuration says.',
  examples: ['bridge --config /tmp/demo/bridge.yaml'],
  commands: { rotate, backup, restore },
});
