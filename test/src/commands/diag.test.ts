// Method: the command on a whole small site, after a payment; the archive is unpacked by the
// system's tar and searched for everything that must not be in it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { diagnose as diagnoseBridge } from '../../../broker/main.ts';
import { diagnose as diagnoseDevice } from '../../../device/main.ts';
import { STORY } from '../../../simulator/install.ts';
import { toHex } from '../../../src/bytes.ts';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/diag.ts';
import { OperatorError } from '../../../src/errors.ts';
import { files } from '../../../src/node/platform.ts';
import { type Site, createSite, lastWord, pay } from '../../site.ts';

let site: Site;
let glasses: Awaited<ReturnType<Site['open']>>;
const paid: string[] = [];

beforeAll(async () => {
  site = await createSite();
  glasses = await site.open({ listen: { host: '127.0.0.1', port: 0 } });
  await glasses.ready();
});
afterAll(() => site.close());

async function run(...args: readonly string[]): Promise<string> {
  const said: string[] = [];
  const programs = { device: { diagnose: diagnoseDevice }, bridge: { diagnose: diagnoseBridge } };
  const context = {
    files,
    write: (line: string) => void said.push(line),
    program: (name: keyof typeof programs) => Promise.resolve(programs[name]),
  } as unknown as Context;
  await runCommand(command, 'diag', args, context);
  return said.join('\n');
}

/** Everything that must not leave the machine, by what it is. */
function secrets(): readonly (readonly [what: string, text: string])[] {
  const at = (...names: string[]) => join(site.folder, ...names);
  const read = (...names: string[]) => readFileSync(at(...names), 'utf8').trim();
  const pems = [
    'root.key.pem',
    'wallet.key.pem',
    'glasses/device.key.pem',
    'bridge/bridge.key.pem',
  ];
  const mandate = readFileSync(at('mandates', 'glasses.mandate'));
  return [
    ...pems.map((name) => [name, read(name).split('\n')[1]!] as const),
    ...['risk.secret', 'ledger.secret', 'payer.id', 'bridge/tick.secret'].map(
      (name) => [name, read(name)] as const,
    ),
    ['the mandate', toHex(mandate).slice(40, 120)],
    ...paid.map((id) => ['a payment', id] as const),
    ['the amount', '12.50'],
    ['the amount', '1250'],
    ['the funding', STORY.funding],
    ['the payee', STORY.payee],
    ...STORY.names.map(([, name]) => ["the payee's name", name] as const),
  ];
}

test.each(['device', 'bridge'])(
  'the archive of a %s holds what helps and no secret',
  async (program) => {
    await lastWord((await pay(site, glasses, '12.50')).told);
    paid.push(...site.finals.map(({ id }) => id));
    const out = join(site.folder, `${program}.tar.gz`);
    const config = join(site.folder, program === 'device' ? 'glasses.yaml' : 'bridge.yaml');
    const said = await run('collect', program, config, '--out', out);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const folder = join(site.folder, `unpacked-${program}`);
    mkdirSync(folder);
    execFileSync('tar', ['-xzf', out, '-C', folder]);
    const names = readdirSync(join(folder, 'saytap-diag')).sort();
    expect(names).toEqual([
      ...['config.yaml', 'counts.json', 'disk.txt', 'doctor.json', 'log.txt', 'memory.txt'],
      ...['metrics.txt', 'unit.txt', 'versions.json'],
    ]);
    for (const name of names) expect(said).toContain(`saytap-diag/${name}`);
    const read = (name: string) => readFileSync(join(folder, 'saytap-diag', name), 'utf8');
    expect(JSON.parse(read('versions.json'))).toMatchObject({ node: process.versions.node });
    expect(read('doctor.json')).toContain('"check": "disk"');
    expect(read('config.yaml')).toContain('ledger: demo');
    const all = names.map(read).join('\n');
    for (const [what, text] of secrets()) expect(all, what).not.toContain(text);
  },
);

test('an archive is never written over, and needs its ending', async () => {
  const config = join(site.folder, 'glasses.yaml');
  const taken = join(site.folder, 'bridge.yaml.tar.gz');
  files.create(taken, new Uint8Array(), 0o600);
  const failure = await run('collect', 'device', config, '--out', taken).catch((e: unknown) => e);
  expect(failure).toBeInstanceOf(OperatorError);
  expect((failure as OperatorError).exit).toBe(5);
  const usage = await run('collect', 'device', config, '--out', 'a.zip').catch((e: unknown) => e);
  expect((usage as OperatorError).exit).toBe(2);
});
