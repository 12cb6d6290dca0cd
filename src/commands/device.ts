/**
 * `saytap device`: a device as a program, and what the operator of a bridge does about devices.
 *
 * Without a subcommand `--config` is the device's own configuration; with one it is the bridge's,
 * for it is the bridge that knows every device and stops one. A device is named by its name in
 * topics; to stop it is to stop its key, as `saytap keys` does for every key.
 */
import { UsageError, defineCommand, programCommand } from '../command.ts';
import { utc } from '../sentences.ts';
import { type FindKey, everyKey, standingCommands } from './keys.ts';
import { approve, enrol, pending, refuse } from './enrol.ts';
import { CONFIG, columns } from './operator.ts';

const list = defineCommand({
  summary: 'every device that the bridge knows, and whether it counts',
  options: { config: CONFIG },
  examples: ['device list --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const all = await everyKey(context, options.config);
    const rows = all.flatMap(({ device, role, status, place, until }) =>
      device === undefined || place !== undefined ? [] : [[device, role, status, utc(until)]],
    );
    if (rows.length === 0) return context.write('no devices');
    const head = ['device', 'role', 'status', 'statement until'];
    for (const line of columns([head, ...rows.sort()])) context.write(line);
  },
});

const byName: FindKey = (all, given) => {
  // To stop the key that a device has now stops also the one that it had before.
  const found =
    all.find(({ device, place }) => device === given && place === undefined) ??
    all.find(({ device }) => device === given);
  if (found) return found;
  const names = all.flatMap(({ device }) => device ?? []);
  const known = names.length === 0 ? 'it knows none' : `it knows ${names.sort().join(', ')}`;
  throw new UsageError(`there is no device ${given} at this bridge; ${known}`);
};

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
    list,
    ...{ enrol, pending, approve, refuse },
    ...standingCommands(
      'device',
      { value: 'NAME', says: 'its name in topics', needs: 'the name of a device' },
      'glasses-1',
      byName,
    ),
  },
});
