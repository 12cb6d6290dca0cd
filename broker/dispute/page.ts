/**
 * A dispute file as one HTML page: no script, nothing from elsewhere, to be kept, mailed, printed.
 *
 * Every value passes through `html`, which escapes what stands in braces, so no name, order line or
 * answer becomes markup; a policy in the page forbids scripts and requests a second time.
 */
import { type Check, type Place, rowName } from './checks.ts';
import type { Dispute } from './dispute.ts';
import { type Fact, type Happening, type Icon, timeOf } from './events.ts';
import { type Copy, copyFacts, exhibitFacts, howToProve, rootFacts } from './exhibits.ts';
import { visible } from './glyphs.ts';
import { checkWords, rowsWords } from './sheet.ts';

/** The whole page. */
export function pageOf(dispute: Dispute): string {
  const { id, realm, headline, tone, writtenMs, checks, places } = dispute;
  const allHold = checks.every(({ holds }) => holds !== false);
  const rowsHold = places.every(({ state }) => state !== 'broken');
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>Payment ${id}</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        <header class="${markup(allHold ? tone : 'bad')}">
          <p class="over">Evidence of a payment · ledger ${realm.ledger} (${realm.environment})</p>
          <h1>${headline}</h1>
          <p class="badges">
            ${badge(rowsHold, rowsHold ? 'these rows hold' : rowsWords(places))}
            ${badge(allHold, checkWords(checks))}
          </p>
        </header>
        <main>
          <section class="cards" aria-label="What moved">${dispute.money.map(card)}</section>
          <section>${factList(dispute.summary)}</section>
          <section>
            <h2>What happened</h2>
            <ol class="line">
              ${dispute.happenings.map(event)}
            </ol>
          </section>
          ${dispute.sections.map(
            ({ title, facts }) =>
              html`<section>
                <h2>${title}</h2>
                ${factList(facts)}
              </section> `,
          )}
          <section>
            <h2>What was proved again</h2>
            <ul class="checks">
              ${checks.map(check)}
            </ul>
          </section>
          <section>
            <details>
              <summary>
                Rows of the chain (${String(places.length)}): bytes and keys to prove it without
                this program
              </summary>
              ${howToProve(realm).map((line) => html`<p>${line}</p> `)}
              <h3>The root's public key</h3>
              ${factList(rootFacts(dispute.root))} ${places.map(place)}
              ${dispute.copies.map(copied)}
            </details>
          </section>
        </main>
        <footer>
          Written ${timeOf(writtenMs)}. Each row is bound to all rows before it; saytap audit
          follows the chain from its beginning.
        </footer>
      </body>
    </html> `.text;
}

/** Text that is markup already. */
type Markup = Readonly<{ text: string }>;
type Part = string | Markup | readonly Markup[];

function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  const written = strings.map((piece, at) => {
    const part = parts[at];
    return part === undefined ? piece : piece + written1(part);
  });
  return { text: written.join('') };
}

function written1(part: Part): string {
  if (typeof part === 'string') return escaped(part);
  return 'text' in part ? part.text : part.map(({ text }) => text).join('');
}

/** For words of this file's own. */
function markup(text: string): Markup {
  return { text };
}

function escaped(text: string): string {
  return visible(text).replace(/[&<>"'`]/g, (one) => `&#${one.charCodeAt(0)};`);
}

function badge(isGood: boolean, words: string): Markup {
  return html`<span class="badge ${markup(isGood ? 'good' : 'bad')}"
    >${isGood ? TICK : CROSS}${words}</span
  >`;
}

function card({ name, lines }: Fact): Markup {
  return html`<div class="card">
    <span>${name}</span><b><bdi>${lines.join(' ')}</bdi></b>
  </div> `;
}

function factList(facts: readonly Fact[]): Markup {
  return html`<dl>
    ${facts.map(
      ({
        name,
        lines,
        isRaw,
      }) => html`<div><dt>${name}</dt><dd${markup(isRaw ? ' class="raw"' : '')}>${lines.map(
        (line) => html`<p><bdi>${line}</bdi></p>`,
      )}</dd></div>
`,
    )}
  </dl>`;
}

function event({ atMs, number, icon, tone, title, facts }: Happening): Markup {
  const row = { name: 'Row of the chain', lines: [String(number)] };
  return html`<li class="${markup(tone)}">
    <span class="dot">${svg(ICONS[icon])}</span>
    <time>${timeOf(atMs)}</time>
    <details>
      <summary><bdi>${title}</bdi></summary>
      ${factList([...facts, row])}
    </details>
  </li> `;
}

function check({ what, holds, why }: Check): Markup {
  const tone = holds === undefined ? 'waiting' : holds ? 'good' : 'bad';
  const mark = holds === undefined ? DASH : holds ? TICK : CROSS;
  const words = holds === undefined ? 'not made' : holds ? 'holds' : 'does not hold';
  const because = why === undefined ? '' : `: ${why}`;
  return html`<li class="${markup(tone)}">
    ${mark}<span><bdi>${what}</bdi>, <b>${words}</b><bdi>${because}</bdi></span>
  </li> `;
}

const STATES = Object.freeze({ holds: 'holds', erased: 'holds, erased', broken: 'BROKEN' });

function place(row: Place): Markup {
  const { atMs, state } = row;
  return html`<div class="place ${markup(state === 'broken' ? 'bad' : 'good')}">
    <h3>${rowName(row)} · ${timeOf(atMs)} · <b>${STATES[state]}</b></h3>
    ${factList(exhibitFacts(row))}
  </div> `;
}

function copied(copy: Copy): Markup {
  return html`<div class="place">
    <h3>${copy.what}</h3>
    ${factList(copyFacts(copy))}
  </div> `;
}

function svg(path: string): Markup {
  return markup(`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`);
}

const TICK = svg('M5 13l4 4L19 7');
const CROSS = svg('M6 6l12 12M18 6L6 18');
const DASH = svg('M6 12h12');

/** Drawn with strokes on a field of 24 by 24. */
const ICONS: Readonly<Record<Icon, string>> = Object.freeze({
  mandate: 'M8 15a4 4 0 1 1 3.5-6H21v3h-2v3h-3v-3h-4.5A4 4 0 0 1 8 15z',
  order: 'M6 4h12v16l-3-2-3 2-3-2-3 2zM9 9h6M9 13h6',
  request: 'M12 4v11M8 8l4-4 4 4M5 15v4h14v-4',
  verdict: 'M12 4v16M7 20h10M5 8h14M5 8l-2 6h4zM19 8l-2 6h4z',
  risk: 'M12 3l7 3v6c0 4-3 7-7 9-4-2-7-5-7-9V6z',
  bank: 'M4 10l8-5 8 5zM6 10v7M10 10v7M14 10v7M18 10v7M4 19h16',
  receipt: 'M7 3h10v18l-2.5-1.5L12 21l-2.5-1.5L7 21zM10 12l2 2 3-4',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c1-4 4-5 7-5s6 1 7 5',
});

const STYLE = markup(`
:root{--page:#fff;--ink:#1b1f24;--soft:#5b6570;--rule:#d9dee4;--field:#f5f7f9;
--good:#12714a;--bad:#b3261e;--waiting:#8a5a00;--plain:#3b5b8c}
@media (prefers-color-scheme:dark){:root{--page:#14181d;--ink:#e8ebee;--soft:#9aa5b1;
--rule:#333c46;--field:#1d232a;--good:#5fcf9b;--bad:#ff8a80;--waiting:#f0b95a;--plain:#8fb4f0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem;max-width:60rem;background:var(--page);color:var(--ink);
font:1rem/1.45 system-ui,sans-serif;overflow-wrap:anywhere}
header{border-left:.4rem solid var(--plain);padding-left:1rem}
header.good{border-color:var(--good)}header.bad{border-color:var(--bad)}
header.waiting{border-color:var(--waiting)}
h1{margin:.2rem 0;font-size:1.7rem;line-height:1.2}
h2{font-size:1.15rem;margin:2rem 0 .6rem;border-bottom:1px solid var(--rule);padding-bottom:.3rem}
h3{font-size:.9rem;margin:.8rem 0 .2rem}
.over,footer,time,dt{color:var(--soft);font-size:.85rem}
.over,.badges{margin:.2rem 0}
.badge{display:inline-flex;align-items:center;gap:.3rem;border:1px solid;border-radius:1rem;
padding:.1rem .7rem .1rem .5rem;margin:.2rem .4rem .2rem 0;font-weight:600;font-size:.9rem}
.badge.good,.good>svg,.good .dot{color:var(--good)}
.badge.bad,.bad>svg,.bad .dot,.place.bad h3{color:var(--bad)}
.waiting>svg,.waiting .dot{color:var(--waiting)}.plain .dot{color:var(--plain)}
svg{width:1.1rem;height:1.1rem;flex:none;fill:none;stroke:currentColor;stroke-width:2;
stroke-linecap:round;stroke-linejoin:round}
.cards{display:flex;flex-wrap:wrap;gap:.7rem;margin:1.2rem 0}
.card{background:var(--field);border:1px solid var(--rule);border-radius:.5rem;padding:.6rem .9rem}
.card span{display:block;color:var(--soft);font-size:.85rem}.card b{font-size:1.05rem}
dl{margin:.4rem 0}
dl>div{display:grid;grid-template-columns:11rem 1fr;gap:.2rem 1rem;padding:.15rem 0}
dd{margin:0}dd p{margin:0}
dd.raw{font:.82rem/1.4 ui-monospace,monospace;background:var(--field);padding:.4rem .6rem;
border-radius:.3rem;white-space:pre-wrap}
.line{list-style:none;margin:0;padding:0}
.line li{position:relative;padding:0 0 1.1rem 3rem}
.line li::before{content:"";position:absolute;left:1rem;top:0;bottom:0;width:2px;
background:var(--rule)}
.line li:first-child::before{top:1rem}.line li:last-child::before{bottom:auto;height:1rem}
.dot{position:absolute;left:0;top:0;width:2.1rem;height:2.1rem;border-radius:50%;
background:var(--page);border:2px solid;display:grid;place-items:center}
time{display:block;font-variant-numeric:tabular-nums}
summary{cursor:pointer;font-weight:600}
.bad>details>summary{color:var(--bad)}
.checks{list-style:none;margin:0;padding:0}
.checks li{display:flex;gap:.5rem;align-items:flex-start;padding:.12rem 0}
.checks b{font-weight:600}.place dl{font:.82rem/1.4 ui-monospace,monospace}
footer{margin-top:2rem;border-top:1px solid var(--rule);padding-top:.6rem}
@media (max-width:40rem){dl>div{grid-template-columns:1fr;gap:0}}
@media print{:root{--page:#fff;--ink:#000;--soft:#444;--rule:#bbb;--field:#f4f4f4;--good:#0b5a39;
--bad:#a01a14;--waiting:#6b4600;--plain:#2d4a75}
body{max-width:none;padding:0;font-size:10pt}
details::details-content{content-visibility:visible;display:block}
summary{list-style:none}li,.card,.place{break-inside:avoid}h2{break-after:avoid}}
`);
