/**
 * A QR code, and the code as text. It as a picture is picture.ts, apart from this, because a page
 * draws codes too and has no use for a writer of PNG files.
 */
import qrcode from 'qrcode';

export type Code = Readonly<{ size: number; isDark: (x: number, y: number) => boolean }>;

/** Light modules around a code (ISO 18004 §6.3.8). */
export const QUIET_MODULES = 4;

/** The QR code of `text`, error correction M (15 % of it may be dirty). */
export function makeCode(text: string): Code {
  const { modules } = qrcode.create(text, { errorCorrectionLevel: 'M' });
  return { size: modules.size, isDark: (x, y) => modules.get(y, x) !== 0 };
}

/** Lines of half blocks, two modules high each, dark on light in a terminal of either theme. */
export function codeLines(code: Code): string[] {
  const lines: string[] = [];
  const isLight = (x: number, y: number) =>
    x < 0 || y < 0 || x >= code.size || y >= code.size || !code.isDark(x, y);
  for (let y = -TEXT_QUIET; y < code.size + TEXT_QUIET; y += 2) {
    let line = '';
    for (let x = -TEXT_QUIET; x < code.size + TEXT_QUIET; x++) {
      const [top, bottom] = [isLight(x, y), isLight(x, y + 1)];
      line += top && bottom ? '█' : top ? '▀' : bottom ? '▄' : ' ';
    }
    lines.push(line);
  }
  return lines;
}

const TEXT_QUIET = 2;
