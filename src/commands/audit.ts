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
    if (!json) context.write('PASSED     nothing differs, and everything was looked at');
  },
});

function reportLines(report: Report): readonly string[] {
  const { evidence, payments, backends, differences, more, unchecked, head } = report;
  return [
    `evidence   ${evidence.rows} rows, ${evidence.erased} of them erased`,
    `payments   ${payments.concluded} concluded, ${payments.asked} answers of backends, ` +
      `${payments.open} open`,
    ...payments.openIds.map((id) => `  open     ${id}`),
    ...backends.map((backend) => `backend    ${backend.name}: ${listedText(backend, unchecked)}`),
    ...differences.map(
      ({ what, where, expected, found }) =>
        `DIFFERS    ${where}: ${what}: expected ${expected}, found ${found}`,
    ),
    ...(more > 0 ? [`DIFFERS    and ${more} more`] : []),
    ...unchecked.map((what) => `UNCHECKED  ${plain(what)}`),
    `head       ${head}`,
  ];
}

type Listed = Report['backends'][number];

function listedText(backend: Listed, unchecked: Report['unchecked']): string {
  const { movements } = backend;
  if (movements === undefined) return 'lists no movements';
  if (!isCutOff(backend, unchecked)) return `${movements} movements`;
  return movements === 0 ? 'not asked, it does not answer' : `${movements} movements, not all`;
}

/** Whether its list of movements could not be read to the end (broker/audit/movements.ts). */
function isCutOff({ name }: Listed, unchecked: Report['unchecked']): boolean {
  return unchecked.some((what) => what.startsWith(`movements at ${name} after `));
}

/** The system's word for a program that is not running, for people. */
function plain(what: string): string {
  return what.replace(/connect ECONNREFUSED( \S+)?/, 'nothing answers at$1').replace(/ at$/, '');
}

function faultOf(report: Report): string | undefined {
  const { passed, differences, more, unchecked, backends } = report;
  if (passed) return undefined;
  const found = differences.length + more;
  if (found > 0) return `the audit found ${found} ${found === 1 ? 'difference' : 'differences'}`;
  const silent = backends.filter((backend) => isCutOff(backend, unchecked)).map(({ name }) => name);
  const advice = silent.length === 0 ? '' : `; start ${silent.join(' and ')} and run it again`;
  const count = unchecked.length;
  return `the audit is incomplete: ${count} of its parts could not be looked at${advice}`;
}
