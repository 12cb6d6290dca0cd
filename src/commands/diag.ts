/** `saytap diag`: what a person sends to somebody who helps, in one file. */
import { UsageError, defineCommand } from '../command.ts';
import { requireFree } from '../files.ts';

const PROGRAMS = ['device', 'bridge'] as const;

const collect = defineCommand({
  summary: 'one redacted archive: versions, doctor, configuration, log, machine',
  about:
    'It holds no key, no secret, no PIN, no name of a payee or payer, no amount, no mandate and ' +
    'no envelope; look into it before you send it. Only its owner may read the file.',
  inputs: [
    { value: 'PROGRAM', says: PROGRAMS.join(' or '), needs: `one of ${PROGRAMS.join(', ')}` },
    { value: 'FILE', says: 'its configuration, YAML', needs: 'the configuration, a file' },
  ],
  options: {
    out: { value: 'FILE', says: 'the new archive, which ends with .tar.gz', needed: true },
  },
  examples: ['diag collect device /tmp/demo/glasses.yaml --out diag.tar.gz'],
  async run({ inputs: [name, file], options: { out } }, context) {
    const program = PROGRAMS.find((one) => one === name);
    if (!program) throw new UsageError(`${name} is not one of ${PROGRAMS.join(', ')}`);
    if (!/\.(tar\.gz|tgz)$/.test(out)) throw new UsageError('--out ends with .tar.gz');
    requireFree(context.files, out);
    const { bytes, names } = await (await context.program(program)).diagnose(file!);
    context.files.create(out, bytes, 0o600);
    for (const one of names) context.write(`  ${one}`);
    context.write(`${out}: ${names.length} files, ${bytes.length} bytes; tar -xzf unpacks it`);
  },
});

export const command = {
  summary: 'what to send to somebody who helps, without secrets',
  examples: ['diag collect device /tmp/demo/glasses.yaml --out diag.tar.gz'],
  commands: { collect },
};
