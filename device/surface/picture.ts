/** A QR code as a PNG picture, for whoever looks at it with a camera. */
import { PNG } from 'pngjs';
import { type Code, QUIET_MODULES } from './code.ts';

/** A PNG with `scale` pixels per module and the quiet zone. */
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
