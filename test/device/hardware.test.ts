// Method: boards as makers report them, as the files and answers that they have.
import { expect, test } from 'vitest';
import { checkHardware } from '../../device/hardware.ts';
import type { Files, Surroundings } from '../../src/platform.ts';

type Board = Readonly<{
  prompt?: boolean;
  profile?: 'glasses' | 'kiosk';
  runtime?: string;
  files?: Readonly<Record<string, string>>;
  readable?: readonly string[];
  isListening?: boolean;
  readers?: string;
}>;

async function look(name: string, board: Board) {
  const { prompt = false, profile = 'glasses', runtime = '/usr/bin/node' } = board;
  const texts = board.files ?? {};
  const files = {
    read: (path: string) => (path in texts ? new TextEncoder().encode(texts[path]) : undefined),
    list: (path: string) =>
      Object.keys(texts).flatMap((one) =>
        one.startsWith(`${path}/`) ? [one.split('/').at(-1)!] : [],
      ),
  } as unknown as Files;
  const surroundings = {
    isReadable: (path: string) => (board.readable ?? []).includes(path),
    isListening: () => Promise.resolve(board.isListening ?? false),
    run: () => Promise.resolve(board.readers),
    runtime,
  } as unknown as Surroundings;
  return checkHardware({ profile, prompt }, { files, surroundings })[name]!();
}

const PCSCD = '/run/pcscd/pcscd.comm';
const READY = { readable: [PCSCD], isListening: true };
const LISTED =
  '# Detected readers (pcsc)\nNr.  Card  Features  Name\n0    No              ACS ACR122U\n';
const MICROPHONE = '01-00: USB Audio : USB Audio : playback 1 : capture 1\n';

test.each([
  ['no pcscd where a person types', { prompt: true }, 'not checked', /typed at the prompt/],
  ['no pcscd', {}, 'wrong', /apt-get install pcscd/],
  ['nobody behind the socket', { readable: [PCSCD], isListening: false }, 'wrong', /polkit/],
  ['a Node out of a snap', { ...READY, runtime: '/snap/node/1/bin/node' }, 'wrong', /without snap/],
  [
    'a kernel that holds the reader',
    { ...READY, files: { '/proc/modules': 'pn533_usb 16384 0 - Live\nnfc 1 1 pn533 - Live\n' } },
    'wrong',
    /blacklist pn533_usb\\nblacklist pn533\\nblacklist nfc/,
  ],
  [
    'no reader',
    { ...READY, readers: 'No smart card readers found.\n' },
    'wrong',
    /ACR122U has to be/,
  ],
  ['a reader', { ...READY, readers: LISTED }, 'ok', /1 readers/],
  ['nobody lists readers', READY, 'ok', /pcscd answers/],
] satisfies [string, Board, string, RegExp][])('tags: %s', async (_name, board, state, words) => {
  const verdict = await look('nfc reader', board);
  expect(verdict.state).toBe(state);
  expect(`${verdict.says} ${verdict.fix}`).toMatch(words);
});

test.each([
  ['none, and a kiosk', { profile: 'kiosk' }, 'not checked', /none is needed/],
  ['none', {}, 'wrong', /arecord -l/],
  [
    'one that only plays',
    { files: { '/proc/asound/pcm': '00-00: HDMI : : playback 1\n' } },
    'wrong',
    /no mic/,
  ],
  ['one of another group', { files: { '/proc/asound/pcm': MICROPHONE } }, 'wrong', /group audio/],
  [
    'one',
    { files: { '/proc/asound/pcm': MICROPHONE }, readable: ['/dev/snd/pcmC1D0c'] },
    'ok',
    /1 in ALSA/,
  ],
] satisfies [string, Board, string, RegExp][])(
  'microphone: %s',
  async (_name, board, state, words) => {
    const verdict = await look('microphone', board);
    expect(verdict.state).toBe(state);
    expect(`${verdict.says} ${verdict.fix}`).toMatch(words);
  },
);

test.each([
  ['none where a person types', { prompt: true }, 'not checked', /none is needed/],
  ['none', {}, 'wrong', /connect one/],
  ['one of another group', { files: { '/dev/input/event0': '' } }, 'wrong', /group input/],
  ['one', { files: { '/dev/input/event0': '' }, readable: ['/dev/input/event0'] }, 'ok', /1 of 1/],
] satisfies [string, Board, string, RegExp][])(
  'buttons: %s',
  async (_name, board, state, words) => {
    const verdict = await look('buttons', board);
    expect(verdict.state).toBe(state);
    expect(`${verdict.says} ${verdict.fix}`).toMatch(words);
  },
);
