/** `saytap audit`: counts everything again, and ends with 0 only when all of it was right. */
import { UsageError, defineCommand } from '../command.ts';
import { OperatorError } from '../errors.ts';
import { CONFIG, askBridge } from './operator.ts';

/** What the bridge answers (broker/audit.ts). */
export type Report = Readonly<{
  passed: boolean;
  evidence: Readonly<{ rows: number; erased: number }>;
  head: string;
  payments: Readonly<{
    concluded: number;
    asked: number;
    open: number;
    openIds: readonly string[];
  }>;
  backends: readonly Readonly<{ name: string; movements?: number | undefined }>[];
  differences: readonly Readonly<{
    what: string;
    where: string;
    expected: string;
    found: string;
  }>[];
  more: number;
  unchecked: readonly string[];
}>;

export const command = defineCommand({
  summary: 'counts evidence, limits, receipts and money at backends again',
  about:
    'Follows the chain of evidence from its beginning, counts every limit from its payments, ' +
    'asks each backend what became of each payment, and compares what backends list. Payments ' +
    'go on meanwhile. Note down the head somewhere else: given later with --head, it shows a ' +
    'chain that was written anew. Exit code 0 only when nothing differs and all was looked at.',
  options: {
    config: CONFIG,
    head: { value: 'N:HEX', says: 'a head that an earlier audit told' },
    json: { says: 'the whole report as JSON' },
  },
  examples: ['audit --config /tmp/demo/bridge.yaml'],
  async run({ options }, context) {
    const { config, head, json } = options;
    if (head !== undefined && !/^[0-9]{1,15}:[0-9a-f]{64}$/.test(head)) {
      throw new UsageError('--head is a number, a colon and 64 hexadecimal digits');
    }
    const report = await askBridge<Report>(context, config, {
      ask: 'audit',
      ...(head !== undefined && { head }),
    });
    const lines = json ? [JSON.stringify(report, undefined, 2)] : reportLines(report);
    for (const line of lines) context.write(line);
    const fault = faultOf(report);
    if (fault !== undefined) throw new OperatorError('failed', fault);
  },
});

function reportLines(report: Report): readonly string[] {
  const { evidence, payments, backends, differences, more, unchecked, head } = report;
  return [
    `evidence   ${evidence.rows} rows, ${evidence.erased} of them erased`,
    `payments   ${payments.concluded} concluded, ${payments.asked} answers of backends, ` +
      `${payments.open} open`,
    ...payments.openIds.map((id) => `  open     ${id}`),
    ...backends.map(
      ({ name, movements }) =>
        `backend    ${name}: ${movements === undefined ? 'lists no' : movements} movements`,
    ),
    ...differences.map(
      ({ what, where, expected, found }) =>
        `DIFFERS    ${where}: ${what}: expected ${expected}, found ${found}`,
    ),
    ...(more > 0 ? [`DIFFERS    and ${more} more`] : []),
    ...unchecked.map((what) => `UNCHECKED  ${what}`),
    `head       ${head}`,
  ];
}

function faultOf({ passed, differences, more, unchecked }: Report): string | undefined {
  if (passed) return undefined;
  const count = differences.length + more;
  if (count > 0) return `the audit found ${count} ${count === 1 ? 'difference' : 'differences'}`;
  return `the audit is incomplete: ${unchecked.length} of its parts could not be looked at`;
}
