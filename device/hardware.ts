/**
 * What hangs on a device for people to speak to, tap and press, as the doctor finds it.
 *
 * A board where a person types at a prompt needs none of it, so there only what is present and
 * troubled is wrong. The troubles are those that makers meet: nfc-pcsc issues 74, 107 and 116,
 * pyscard issue 94.
 */
import { type Check, type Verdict, ok, unchecked, wrong } from '../src/doctor.ts';
import type { Files, Surroundings } from '../src/platform.ts';
import type { DeviceConfig } from './config.ts';

type Ports = Readonly<{ files: Files; surroundings: Surroundings }>;

export function checkHardware(
  { profile, prompt }: Pick<DeviceConfig, 'profile' | 'prompt'>,
  ports: Ports,
): Readonly<Record<string, Check['run']>> {
  const isNeeded = !prompt;
  return {
    'nfc reader': () => checkReader(ports, isNeeded),
    microphone: () => checkMicrophone(ports, isNeeded && profile === 'glasses'),
    buttons: () => checkInput(ports, isNeeded),
  };
}

const PCSCD = '/run/pcscd/pcscd.comm';

async function checkReader({ files, surroundings }: Ports, isNeeded: boolean): Promise<Verdict> {
  const present = surroundings.isReadable(PCSCD);
  if (!present && !isNeeded) return unchecked('there is no pcscd; tags are typed at the prompt');
  if (surroundings.runtime.startsWith('/snap/')) {
    return wrong('this Node is a snap, which cannot reach pcscd', 'install Node without snap');
  }
  const taken = DRIVERS.filter((name) => modules(files).has(name));
  if (taken.length > 0) {
    const lines = DRIVERS.map((name) => `blacklist ${name}`).join('\\n');
    return wrong(
      `the kernel holds NFC readers for itself (${taken.join(', ')})`,
      `printf '${lines}\\n' | sudo tee /etc/modprobe.d/saytap-nfc.conf, and restart the machine`,
    );
  }
  if (!(await surroundings.isListening(PCSCD))) {
    return wrong(
      `nobody can be reached at ${PCSCD}`,
      'sudo apt-get install pcscd && sudo systemctl enable --now pcscd.socket; with polkit the ' +
        'user of the service needs org.debian.pcsc-lite.access_pcsc and access_card',
    );
  }
  const told = await surroundings.run('opensc-tool', ['--list-readers']);
  if (told === undefined) return ok('pcscd answers (opensc-tool would tell which readers it has)');
  const readers = told.split('\n').filter((line) => /^\d+\s/.test(line));
  if (readers.length > 0) return ok(`pcscd answers, ${readers.length} readers`);
  if (!isNeeded) return unchecked('pcscd has no reader');
  return wrong(
    'pcscd answers and has no reader',
    'plug it in; after a restart of the machine an ACR122U has to be unplugged and plugged again',
  );
}

const DRIVERS = ['pn533_usb', 'pn533', 'nfc'];

function modules(files: Files): ReadonlySet<string> {
  const lines = textOf(files, '/proc/modules').split('\n');
  return new Set(lines.map((line) => line.split(' ')[0] ?? ''));
}

function checkMicrophone({ files, surroundings }: Ports, isNeeded: boolean): Verdict {
  const captures = textOf(files, '/proc/asound/pcm')
    .split('\n')
    .filter((line) => /: capture \d/.test(line))
    .map((line) => /^(\d+)-(\d+):/.exec(line))
    .flatMap((found) => (found ? [`/dev/snd/pcmC${+found[1]!}D${+found[2]!}c`] : []));
  if (captures.length === 0) {
    if (!isNeeded) return unchecked('there is none, and none is needed');
    return wrong('ALSA has no microphone', 'plug one in; arecord -l lists what there is');
  }
  if (captures.some(surroundings.isReadable)) return ok(`${captures.length} in ALSA`);
  if (!isNeeded) return unchecked('this user may not use it, and it is not needed');
  return wrong(`this user may not use ${captures[0]}`, groupFix('audio'));
}

function checkInput({ files, surroundings }: Ports, isNeeded: boolean): Verdict {
  const devices = files
    .list('/dev/input')
    .filter((name) => /^event\d+$/.test(name))
    .map((name) => `/dev/input/${name}`);
  const readable = devices.filter(surroundings.isReadable);
  if (readable.length > 0) return ok(`${readable.length} of ${devices.length} can be read`);
  if (!isNeeded) return unchecked('none can be read, and none is needed');
  if (devices.length > 0) return wrong(`this user may not read ${devices[0]}`, groupFix('input'));
  return wrong('there is no button, touch or keyboard', 'connect one; see /proc/bus/input/devices');
}

function groupFix(group: string): string {
  return `add the user to the group ${group} (SupplementaryGroups=${group} in the unit)`;
}

function textOf(files: Files, path: string): string {
  return new TextDecoder().decode(files.read(path));
}
