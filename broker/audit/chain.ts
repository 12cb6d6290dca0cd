/** The chain of evidence, followed from its beginning to its head. */
import { toHex } from '../../src/bytes.ts';
import { AUDIT_PAGE_ROWS } from '../../src/limits.ts';
import { rowName } from '../dispute/checks.ts';
import { faultsOf } from '../proof.ts';
import { GENESIS, linkOf } from '../store/chain.ts';
import type { Difference, EvidenceRow, Store } from '../store/port.ts';
import type { Findings } from './findings.ts';

/** What the chain has; `head` is its last link as NUMBER:HEX. */
export type Followed = Readonly<{ rows: number; erased: number; head: string }>;

/** Checks every row, and that the chain has the link `noted` (NUMBER:HEX), if one was. */
export async function checkChain(
  store: Store,
  noted: string | undefined,
  findings: Findings,
): Promise<Followed> {
  const { differ, turn } = findings;
  const [notedNumber, notedLink] = noted?.split(':') ?? [];
  let rows = 0;
  let erased = 0;
  let recorded = 0;
  let last = 0;
  let link: Uint8Array = GENESIS;
  /** What the next row may follow from; undefined after a gap. */
  let before: readonly Uint8Array[] | undefined = [GENESIS];
  let isNotedMet = false;

  const meet = (number: number, found: Uint8Array) => {
    if (notedNumber === undefined || Number(notedNumber) !== number) return;
    isNotedMet = true;
    if (toHex(found) !== notedLink) {
      differ({
        what: 'the link that was noted earlier',
        where: placeName(number),
        expected: notedLink!,
        found: toHex(found),
      });
    }
  };

  try {
    meet(0, GENESIS);
    const [first] = await store.evidencePage(BELOW_ALL, 1);
    if (first && first.number < 1) {
      const { number } = first;
      differ({
        what: 'number of a row',
        where: placeName(number),
        expected: 'above 0',
        found: `${number}`,
      });
    }
    chain: for (;;) {
      const page = await store.evidencePage(last, AUDIT_PAGE_ROWS);
      if (page.length === 0) break;
      for (const row of page) {
        if (row.number !== last + 1) {
          differ(misplaced(row, last + 1));
          before = undefined;
          // No page begins after a number that this language cannot count.
          if (!Number.isSafeInteger(row.number)) break chain;
        }
        const faults = faultsOf(row, before);
        differ(...faults.map((fault) => ({ ...fault, where: `evidence ${rowName(row)}` })));
        rows++;
        if (row.body === undefined) erased++;
        recorded += erasedBy(row);
        // After a wrong link the next row tells which one was right, so one fault is told once.
        const isWrong = faults.some(({ what }) => what === 'link');
        before = isWrong ? [row.link, linkOf(before![0]!, row)] : [row.link];
        ({ number: last, link } = row);
        meet(last, link);
      }
      await turn();
    }
    if (noted !== undefined && !isNotedMet) {
      differ({
        what: 'the link that was noted earlier',
        where: placeName(Number(notedNumber)),
        expected: notedLink!,
        found: 'no such row',
      });
    }
    // An erasure that ends while the audit reads shows in its record before it shows in the rows.
    if (erased > recorded) {
      differ({
        what: 'rows without contents',
        where: 'evidence',
        expected: `${recorded}, as erasures record`,
        found: String(erased),
      });
    }
  } catch (error) {
    findings.miss(`the chain of evidence after row ${last}`, error);
  }
  return { rows, erased, head: `${last}:${toHex(link)}` };
}

/** Below every number that a row can have. */
const BELOW_ALL = -(2 ** 63);

function placeName(number: number): string {
  return `evidence row ${number}`;
}

function misplaced({ number }: EvidenceRow, expected: number): Difference {
  return {
    what: 'number of a row',
    where: placeName(expected),
    expected: String(expected),
    found: `${number} comes next`,
  };
}

function erasedBy({ kind, body }: EvidenceRow): number {
  if (kind !== 'erasure' || !body) return 0;
  try {
    const { rows } = JSON.parse(new TextDecoder().decode(body)) as { rows?: unknown };
    return typeof rows === 'number' ? rows : 0;
  } catch {
    return 0; // Its digest is wrong as well, and was told.
  }
}
