// The picture and the text must draw the same modules: both are turned back into a grid.
import { PNG } from 'pngjs';
import { expect, test } from 'vitest';
import { codeWasm } from '../../../src/node/wasm.ts';
import { createCodeReader } from '../../../device/sense/look.ts';
import { orderUri } from '../../../device/sense/uri.ts';
import { codeLines, makeCode } from '../../../device/surface/code.ts';
import { codePng } from '../../../device/surface/picture.ts';
import { sealOrder } from '../stage.ts';

const code = makeCode('saytap://payee/luckin-coffee');

test('the picture has the modules, and four of quiet around them', () => {
  const scale = 3;
  const { width, height, data } = PNG.sync.read(Buffer.from(codePng(code, scale)));
  expect([width, height]).toEqual([(code.size + 8) * scale, (code.size + 8) * scale]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [column, row] = [Math.floor(x / scale) - 4, Math.floor(y / scale) - 4];
      const isInside = Math.min(column, row) >= 0 && Math.max(column, row) < code.size;
      const isDark = isInside && code.isDark(column, row);
      const at = (y * width + x) * 4;
      if (data[at] !== (isDark ? 0 : 255) || data[at + 3] !== 255) {
        expect.fail(`pixel ${x},${y} is ${data[at]}`);
      }
    }
  }
  expect(code.isDark(0, 0), 'the corner of a finder is dark').toBe(true);
  expect(code.isDark(7, 0), 'and beside it is the separator').toBe(false);
});

test('columns are columns: the one module that is always dark is where it belongs', () => {
  // ISO 18004 §7.9.1: row 4V + 9, column 8. Mirrored it would be a bit that varies.
  const codes = Array.from({ length: 16 }, (_, n) => makeCode(`saytap://payee/cafe-${n}`));
  expect(codes.map(({ size, isDark }) => isDark(8, size - 8))).not.toContain(false);
  expect(codes.map(({ size, isDark }) => isDark(size - 8, 8))).toContain(false);
});

test('the text has the same modules', () => {
  const lines = codeLines(code);
  expect(new Set(lines.map((line) => line.length))).toEqual(new Set([code.size + 4]));
  const isLight = (x: number, y: number) => {
    const mark = lines[(y + 2) >> 1]![x + 2]!;
    return mark === '█' || mark === ((y + 2) % 2 === 0 ? '▀' : '▄');
  };
  for (let y = -2; y < code.size + 2; y++) {
    for (let x = -2; x < code.size + 2; x++) {
      const isInside = Math.min(x, y) >= 0 && Math.max(x, y) < code.size;
      expect(isLight(x, y)).toBe(!(isInside && code.isDark(x, y)));
    }
  }
});

test('an order of full length is read back from its picture', async () => {
  const text = 'A line of an order, as long as a screen shows it'.padEnd(150, '.');
  const lines = Array.from({ length: 4 }, () => ({ text, quantity: 1, total: 1_00n }));
  const envelope = await sealOrder({ lines, amount: { currency: 'CNY', minor: 4_00n } });
  const png = codePng(makeCode(orderUri(envelope)), 3);
  expect(await createCodeReader(codeWasm)(png)).toEqual({ kind: 'order', envelope });
});
