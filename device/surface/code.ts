/** A QR code as a picture and as text: the same modules, drawn twice. */
import { PNG } from 'pngjs';
import qrcode from 'qrcode';

export type Code = Readonly<{ size: number; isDark: (x: number, y: number) => boolean }>;

/** The QR code of `text`, error correction M (15 % of it may be dirty). */
export function makeCode(text: string): Code {
  const { modules } = qrcode.create(text, { errorCorrectionLevel: 'M' });
  return { size: modules.size, isDark: (x, y) => modules.get(y, x) !== 0 };
}

/** A PNG with `scale` pixels per module and the quiet zone of four modules (ISO 18004 §6.3.8). */
export function codePng(code: Code, scale: number): Uint8Array {
  const side = (code.size + 2 * QUIET_MODULES) * scale;
  const png = new PNG({ width: side, height: side, colorType: 0 });
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const column = Math.floor(x / scale) - QUIET_MODULES;
      const row = Math.floor(y / scale) - QUIET_MODULES;
      const isInside = column >= 0 && row >= 0 && column < code.size && row < code.size;
      const shade = isInside && code.isDark(column, row) ? 0 : 255;
      png.data.fill(shade, (y * side + x) * 4, (y * side + x) * 4 + 3);
      png.data[(y * side + x) * 4 + 3] = 255;
    }
  }
  return Uint8Array.from(PNG.sync.write(png, { colorType: 0 }));
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

const QUIET_MODULES = 4;
const TEXT_QUIET = 2;
