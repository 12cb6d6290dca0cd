/** What a device's page draws as SVG: small signs, and codes of the modules that all have. */
import { QUIET_MODULES, makeCode } from '../surface/code.ts';

type Attributes = Readonly<Record<string, string | number>>;

/** An element of SVG. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes,
  ...children: readonly Node[]
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, `${value}`);
  element.append(...children);
  return element;
}

const SIGNS = Object.freeze({
  tap:
    'M9 11.5V5a1.8 1.8 0 0 1 3.6 0v5.5m0-1.3a1.7 1.7 0 0 1 3.4 0v1.6a1.6 1.6 0 0 1 ' +
    '3.2 0V15a6 6 0 0 1-6 6h-1.4a6 6 0 0 1-4.6-2.2L4 15.4a1.8 1.8 0 0 1 2.6-2.5L9 15',
  done: 'M4.5 12.5l5 5L19.5 7',
  wrong: 'M6 6l12 12M18 6L6 18',
  wait: 'M12 6v6l4 2.4M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  erase: 'M9 5h11v14H9l-6-7 6-7zM12 9.5l5 5M17 9.5l-5 5',
  voice:
    'M12 15a3.5 3.5 0 0 0 3.5-3.5v-5a3.5 3.5 0 0 0-7 0v5A3.5 3.5 0 0 0 12 15zM5.5 ' +
    '11.5a6.5 6.5 0 0 0 13 0M12 18v3',
  look:
    'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM15 12a3 3 0 ' +
    '1 1-6 0 3 3 0 0 1 6 0z',
  tag: 'M5 7.5a8 8 0 0 1 0 9M9 5a12.5 12.5 0 0 1 0 14M13 2.5a17.5 17.5 0 0 1 0 19',
  key: 'M12 15.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM10.9 12.6L20 3.5M16 7.5l3 3',
  staff: 'M4 7h16M4 12h16M4 17h10',
} as const);

export type Sign = keyof typeof SIGNS;

/** A sign that says nothing by itself: what it means stands beside it as text. */
export function sign(name: Sign): SVGSVGElement {
  return svg(
    'svg',
    { viewBox: '0 0 24 24', class: 'sign', 'aria-hidden': 'true', focusable: 'false' },
    svg('path', { d: SIGNS[name] }),
  );
}

/** The code of `text` with its quiet zone, always dark on light: a camera needs it so. */
export function codePicture(text: string, label: string): SVGSVGElement {
  const code = makeCode(text);
  const side = code.size + 2 * QUIET_MODULES;
  let path = '';
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) {
      if (!code.isDark(x, y)) continue;
      const from = x;
      while (x + 1 < code.size && code.isDark(x + 1, y)) x++;
      path += `M${from + QUIET_MODULES} ${y + QUIET_MODULES}h${x + 1 - from}v1h${from - x - 1}z`;
    }
  }
  return svg(
    'svg',
    { viewBox: `0 0 ${side} ${side}`, class: 'code', role: 'img', 'aria-label': label },
    svg('rect', { width: side, height: side, fill: '#fff' }),
    svg('path', { d: path, fill: '#000', 'shape-rendering': 'crispEdges' }),
  );
}
