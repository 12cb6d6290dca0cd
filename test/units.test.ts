// Method: systemd's own judgement of the units, without a running systemd: what is exposed, and
// whether every line is understood. The programs that they start are not installed here.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requirePart } from './parts.ts';

const analyze = requirePart('systemd-analyze');
const UNITS = ['device', 'bridge'].map((name) => ({
  name,
  path: join(import.meta.dirname, `../image/systemd/saytap-${name}.service`),
}));

for (const { name, path } of UNITS) {
  test(`the unit of the ${name} exposes at most 2.0`, (context) => {
    if (analyze.missing !== undefined) return context.skip(analyze.missing);
    const args = ['security', '--offline=true', '--no-pager', path];
    const told = execFileSync(analyze.path, args, { encoding: 'utf8' });
    const level = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(told)?.[1]);
    expect(level).toBeGreaterThan(0);
    expect(level).toBeLessThanOrEqual(2.0);
  });

  test(`systemd understands every line of the unit of the ${name}`, (context) => {
    if (analyze.missing !== undefined) return context.skip(analyze.missing);
    const folder = mkdtempSync(join(tmpdir(), 'saytap-unit-'));
    const unit = readFileSync(path, 'utf8').replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true');
    const copy = join(folder, `saytap-${name}.service`);
    writeFileSync(copy, unit);
    const { stderr } = spawnSync(analyze.path, ['verify', copy], { encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect(stderr.split('\n').filter((line) => line.includes(`saytap-${name}`))).toEqual([]);
  });
}
