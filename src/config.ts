/**
 * Configuration: one YAML file per program, checked as a whole before anything starts.
 *
 * Every problem is reported at once, each with its path, the value that stands there and what is
 * allowed, because a person who mends one line at a time starts the program ten times.
 */
import { type Document, parseDocument, stringify } from 'yaml';
import * as z from 'zod/mini';
import { OperatorError } from './errors.ts';
import { CONFIG_BYTES_MAX } from './limits.ts';

/** Parses and checks `text`; throws OperatorError `config` that lists every problem. */
export function parseConfig<S extends z.ZodMiniType>(
  schema: S,
  text: string,
  file: string,
): Readonly<z.infer<S>> {
  if (text.length > CONFIG_BYTES_MAX) {
    throw new OperatorError('config', `${file}: longer than ${CONFIG_BYTES_MAX} characters`);
  }
  if (/^\s*-----BEGIN /.test(text)) {
    throw new OperatorError('config', `${file} is a key, not a configuration`);
  }
  const document = parseDocument(text, { uniqueKeys: true });
  if (document.errors.length > 0) {
    const lines = document.errors.map(({ message, linePos }) => {
      const [first] = message.split('\n');
      return `line ${linePos?.[0].line ?? '?'}: ${first?.replace(/ at line .*$/, '')}`;
    });
    throw new OperatorError('config', problems(file, lines));
  }
  const value = toPlain(document, file);
  const result = schema.safeParse(value);
  if (result.success) return Object.freeze(result.data);
  throw new OperatorError(
    'config',
    problems(
      file,
      result.error.issues.flatMap((issue) => describe(issue, value)),
    ),
  );
}

/** Aliases are refused: a small file could unfold into a huge one. */
function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch (cause) {
    throw new OperatorError('config', `${file}: YAML aliases (*name) are not allowed`, { cause });
  }
}

/** The settings of one program, for the commands that only look at them. */
export type Settings = Readonly<{
  /** Checks a configuration. Throws OperatorError `config` that lists every problem. */
  check: (text: string, file: string) => void;
  /** The configuration as the program takes it, with what is left out filled in; YAML. */
  print: (text: string, file: string) => string;
  /** JSON Schema (draft 2020-12) of the file. */
  schema: () => string;
}>;

/**
 * The settings of a program that reads `schema`. For one whose file leaves out what it was told
 * elsewhere: `told` adds that to what is printed, with a remark about what it was not told yet.
 */
export function settingsOf<S extends z.ZodMiniType>(
  schema: S,
  described: z.ZodMiniType = schema,
  told: Told<S> = (config) => ({ config }),
): Settings {
  return Object.freeze({
    check: (text: string, file: string) => void parseConfig(schema, text, file),
    print(text: string, file: string) {
      const { config, remark } = told(parseConfig(schema, text, file), file);
      return `${remark === undefined ? '' : `# ${remark}\n`}${stringify(config)}`;
    },
    schema: () =>
      JSON.stringify(z.toJSONSchema(described, { io: 'input', unrepresentable: 'any' }), null, 2),
  });
}

type Told<S extends z.ZodMiniType> = (
  config: Readonly<z.infer<S>>,
  file: string,
) => Readonly<{ config: unknown; remark?: string }>;

function problems(file: string, lines: readonly string[]): string {
  const count = lines.length === 1 ? 'one problem' : `${lines.length} problems`;
  return `${file} has ${count}:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

type Issue = z.core.$ZodIssue;

function describe(issue: Issue, root: unknown): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${at([...issue.path, key])}: is not a setting`);
  }
  if (issue.code === 'invalid_union') {
    return [`${at(issue.path)}: ${shown(root, issue.path)}; allowed: ${issue.message}`];
  }
  return [`${at(issue.path)}: ${shown(root, issue.path)}; allowed: ${allowed(issue)}`];
}

function at(path: readonly PropertyKey[]): string {
  return path.length === 0 ? '(the whole file)' : path.map(String).join('.');
}

function shown(root: unknown, path: readonly PropertyKey[]): string {
  let value = root;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  if (value === undefined) return 'is missing';
  // A file that is no configuration at all may be anything, a secret too.
  if (path.length === 0) return `is ${Array.isArray(value) ? 'a list' : 'no configuration'}`;
  // A secret that stands in the wrong place must not travel into a log.
  if (path.some((key) => SECRET.test(String(key)))) return 'is wrong';
  const text = JSON.stringify(value, (key, item: unknown) => (SECRET.test(key) ? '…' : item));
  return `is ${text?.replace(/\/\/[^/@\s"]*@/g, '//…@').slice(0, 60)}`;
}

const SECRET = /secret|password|key|pin/i;

/** What may stand there instead, in words. */
export function allowed(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_value':
      return issue.values.map(String).join(', ');
    case 'too_small':
      return `at least ${issue.minimum}`;
    case 'too_big':
      return `at most ${issue.maximum}`;
    case 'invalid_type':
      return issue.message === 'Invalid input'
        ? `${article(issue.expected)} ${issue.expected}`
        : issue.message;
    default:
      return issue.message;
  }
}

function article(noun: string): 'a' | 'an' {
  return /^[aeiou]/.test(noun) ? 'an' : 'a';
}
