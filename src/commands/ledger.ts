/** `saytap ledger`: the ledger as a program, and its books as a text. */
import { utf8 } from '../bytes.ts';
import { defineCommand, programCommand } from '../command.ts';

const exportBooks = defineCommand({
  summary: 'the books as a journal',
  about:
    'A journal that other bookkeeping programs can check. A running ledger is asked for it; one ' +
    'that is stopped is read from its database. With --out the file appears when it is whole.',
  options: {
    config: { value: 'FILE', says: "the ledger's configuration, YAML", needed: true },
    out: { value: 'FILE', says: 'written instead of standard output (mode 0600)' },
  },
  examples: ['ledger export --config /tmp/demo/ledger.yaml --out /tmp/demo/journal'],
  async run({ options }, context) {
    const { exportJournal } = await context.program('ledger');
    if (options.out === undefined) return exportJournal(options.config, context.write);
    const lines: string[] = [];
    await exportJournal(options.config, (line) => lines.push(line));
    context.files.replace(options.out, utf8(lines.map((line) => `${line}\n`).join('')), 0o600);
    context.write(`${lines.length} lines in ${options.out}`);
  },
});

export const command = programCommand('ledger', {
  summary: 'the ledger backend: double entry, idempotent',
  about: 'Runs until SIGTERM or Ctrl-C. docs/bridge.md tells what its configuration says.',
  examples: ['ledger --config /tmp/demo/ledger.yaml'],
  commands: { export: exportBooks },
});
