/**
 * `npm run planted`: shows that storms find each of the twelve planted mistakes, and writes what
 * they found into docs/storms.md.
 *
 * Each mistake is planted into `saytap storm` itself, in a process of its own, which runs seed
 * after seed until a promise breaks. That seed's plan is shrunk, and what is left of it is told.
 * Names as arguments hunt these alone; then the page stays as it is.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import type { Violation } from '../simulator/observed.ts';
import { type Plan, actName, faultName } from '../simulator/plan.ts';
import { TWELVE } from './plantings.ts';

/** What a storm says of a seed (`--json`), as far as it matters here. */
type Told = Readonly<{ seed: string; violations: readonly Violation[]; story: readonly string[] }>;

/** `seed` is the first of those that were tried that broke a promise. */
export type Found = Readonly<{ seed: number; violation: Violation }>;

/** A failure that was shrunk. */
type Shrunk = Readonly<{ plan: Plan; violation: Violation; story: readonly string[] }>;

/** Storms with this mistake in them, one seed after the other, until one breaks a promise. */
export async function hunt(
  planted: string,
  { from, to }: Readonly<{ from: number; to: number }>,
): Promise<Found | undefined> {
  let found: Found | undefined;
  await storm(planted, ['--seeds', `${from}..${to}`, '--jobs', '1', '--json'], (line, stop) => {
    const { seed, violations } = JSON.parse(line) as Told;
    const [violation] = violations;
    if (!violation || found) return;
    found = { seed: Number(seed), violation };
    stop();
  });
  return found;
}

/** The page with these findings in the place of those that it has. */
export function withTable(page: string, findings: readonly string[]): string {
  const [before, , after] = page.split(/^<!-- planted -->$/m);
  if (after === undefined) throw new Error('the page has no place for what was found');
  return [before, `\n${findings.join('\n')}\n`, after].join('<!-- planted -->');
}

async function shrunk(planted: string, seed: number, folder: string): Promise<Shrunk> {
  const file = join(folder, `${seed}-${planted.replaceAll(/\W+/g, '-')}.json`);
  await storm(planted, ['--seeds', String(seed), '--jobs', '1', '--shrink', '--out', file]);
  const plan = JSON.parse(readFileSync(file, 'utf8')) as Plan;
  let told: Told | undefined;
  await storm(planted, ['--plan', file, '--json'], (line) => (told = JSON.parse(line) as Told));
  return { plan, violation: told!.violations[0]!, story: told!.story };
}

/** Runs `saytap storm` with a mistake in it; rejects when it was not planted. */
async function storm(
  planted: string,
  args: readonly string[],
  hear: (line: string, stop: () => void) => void = () => {},
): Promise<void> {
  const mutants = pathToFileURL(join(import.meta.dirname, 'mutants.ts')).href;
  const cli = join(import.meta.dirname, '..', 'src', 'cli.ts');
  const child = spawn(process.execPath, ['--import', mutants, cli, 'storm', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SAYTAP_PLANT: planted },
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  for await (const line of createInterface({ input: child.stdout })) {
    hear(line, () => void child.kill('SIGKILL'));
  }
  await ended;
  if (!said.includes(`planted: ${planted}`)) throw new Error(`${planted} was not planted: ${said}`);
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────

type Line = Readonly<{ name: string; what: string; seed: number }> & Shrunk;

function pageOf(lines: readonly Line[]): readonly string[] {
  return [
    '',
    '<!-- prettier-ignore -->',
    '| Planted | What it does | Seed | Broken | Left of the plan |',
    '| --- | --- | --- | --- | --- |',
    ...lines.map(({ name, what, seed, violation, plan }) => {
      const left = `${many(plan.acts.length, 'act')}, ${many(plan.faults.length, 'fault')}`;
      return `| ${name} | ${what} | ${seed} | ${violation.invariant} | ${left} |`;
    }),
    ...lines.flatMap(storyOf),
    '',
  ];
}

function storyOf({ name, seed, plan, violation, story }: Line): readonly string[] {
  const entries = [
    ...plan.acts.map((act) => ({ atMs: act.atMs, words: wordsOf(actName(act), act) })),
    ...plan.faults.map((fault) => ({ atMs: fault.atMs, words: wordsOf(faultName(fault), fault) })),
  ];
  const wide = ({ atMs, words }: Readonly<{ atMs: number; words: string }>) =>
    `${(atMs / 1000).toFixed(1).padStart(7)} s  ${words}`;
  return [
    '',
    `**${name}**, seed ${seed}:`,
    '',
    '```',
    ...entries.toSorted((a, b) => a.atMs - b.atMs).map(wide),
    '… and the last that was seen:',
    ...story.slice(-STORY_LINES).map((line) => line.slice(0, STORY_COLUMNS)),
    `${violation.invariant}: ${violation.story}`,
    '```',
  ];
}

const STORY_LINES = 8;
const STORY_COLUMNS = 160;

function many(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** "network cut  hosts kiosk-2, until 83.0 s" */
function wordsOf(kind: string, entry: Readonly<Record<string, unknown>>): string {
  const details = Object.entries(entry).flatMap(([name, value]) => {
    if (['name', 'atMs', 'act', 'fault', 'trouble', 'mood', 'isAttentive'].includes(name))
      return [];
    if (name === 'untilMs') return [`until ${(Number(value) / 1000).toFixed(1)} s`];
    return [`${name} ${listed(Array.isArray(value) ? value : [value])}`];
  });
  return [kind, details.join(', ')].filter(Boolean).join('  ');
}

function listed(values: readonly unknown[]): string {
  const plain = (value: unknown) =>
    typeof value === 'object' && value !== null ? Object.values(value).join(' ') : String(value);
  return values.map(plain).join(' and ');
}

// ── the command ──────────────────────────────────────────────────────────────────────────────────

/** Within so many seeds each of them has to be found. */
export const SEEDS_MAX = 1_000;

async function main(wanted: readonly string[]): Promise<void> {
  const names = Object.keys(TWELVE) as (keyof typeof TWELVE)[];
  const todo = names.filter((name) => wanted.length === 0 || wanted.includes(name));
  const folder = mkdtempSync(join(tmpdir(), 'saytap-planted-'));
  const lines = new Map<string, Line>();
  const queue = [...todo];
  const work = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const found = await hunt(name, { from: 1, to: SEEDS_MAX });
      if (!found) console.log(`${name}: not found in ${SEEDS_MAX} seeds`);
      if (!found) continue;
      console.log(`${name}: seed ${found.seed}, ${found.violation.invariant}; shrinking`);
      const small = await shrunk(name, found.seed, folder);
      lines.set(name, { name, what: TWELVE[name].what, seed: found.seed, ...small });
      const { acts, faults } = small.plan;
      console.log(`${name}: ${acts.length} acts and ${faults.length} faults are left`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  rmSync(folder, { recursive: true });
  const found = todo.flatMap((name) => lines.get(name) ?? []);
  const page = join(import.meta.dirname, '..', 'docs', 'storms.md');
  if (wanted.length === 0) {
    writeFileSync(page, withTable(readFileSync(page, 'utf8'), pageOf(found)));
  } else console.log(pageOf(found).join('\n'));
  console.log(`${found.length} of ${todo.length} found`);
  process.exitCode = found.length === todo.length ? 0 : 1;
}

if (import.meta.main) await main(process.argv.slice(2));
