/** A person at a text terminal: what the glasses would show or say, as coloured lines. */
import type { Mood, Surface } from './port.ts';

/** A surface that writes whole lines; `isColoured` false gives plain text for a pipe. */
export function createTerminalSurface(
  write: (line: string) => void,
  options: Readonly<{ name: string; isColoured: boolean }>,
): Surface {
  const paint = (text: string, code: string) =>
    options.isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
  const label = paint(options.name.padEnd(8), '1');
  const show = (text: string, code: string) => {
    for (const line of text.split('\n')) write(`${label} ${paint(line, code)}`);
  };
  return {
    ask(frame, sentence) {
      for (const line of frame.lines) show(line, '2');
      show(sentence, COLOURS.waiting);
    },
    say: (sentence, mood) => show(sentence, COLOURS[mood]),
  };
}

const COLOURS: Readonly<Record<Mood, string>> = {
  plain: '36',
  good: '32',
  bad: '31',
  waiting: '33',
};
