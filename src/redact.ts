/**
 * Texts for somebody who helps: without secrets, and without who paid whom how much.
 *
 * Of a log only what is known to be harmless is kept: events of the program above debug, with the
 * fields below, and what the service manager says. Whatever else stands in a journal may be a
 * sentence that a person was asked at a till. What is kept is searched for all that looks like a
 * secret or an id anyway, since a sentence of an error may quote one.
 */

/** A text without secrets, long ids, the user part of URLs, and any of `names`. */
export function redact(text: string, names: readonly string[] = []): string {
  let kept = text
    .replace(/-----BEGIN [^-]*-----[^]*?(-----END [^-]*-----|$)/g, GONE)
    .replace(/\/\/[^/@\s"']*@/g, `//${GONE}@`)
    .replace(/\b[0-9a-f]{32,}\b/gi, (id) => `${id.slice(0, 8)}…`)
    .replace(/(?<![\w/+.-])(?=[\w+/=-]*\d)[\w+=-]{40,}/g, GONE);
  // Longer ones first: a name may be part of another.
  for (const name of [...names].sort((a, b) => b.length - a.length)) {
    if (name.length > 1) kept = kept.replaceAll(name, GONE);
  }
  return kept;
}

/** A configuration as YAML, without what stands in it where the name of a file belongs. */
export function redactSettings(yaml: string, names: readonly string[] = []): string {
  const checked = yaml.replace(
    /^(\s*(?:- )?["']?\w*(?:secret|password|pin|key|token)["']?:[ ]*)(\S.*)$/gim,
    (line, head: string, value: string) => (/[/.]/.test(value) ? line : `${head}${GONE}`),
  );
  return redact(checked, names);
}

/** The lines of a journal (`-o short-iso`) or of a log file that may leave the machine. */
export function redactLog(text: string, names: readonly string[] = []): string {
  let left = 0;
  const lines = text.split('\n').flatMap((line) => {
    if (line.trim() === '') return [];
    const kept = eventOf(line) ?? (MANAGER.test(line) ? line : undefined);
    if (kept === undefined) left++;
    return kept === undefined ? [] : [redact(withoutAmounts(kept), names)];
  });
  return [...lines, `(${left} lines that are no event above debug are left out)`, ''].join('\n');
}

const GONE = '[removed]';
/** A line of the service manager about its unit. */
const MANAGER = /^\S+ \S+ systemd\[1\]: /;
/** What events may carry besides; names of fields, never of people. */
const FIELDS = new Set([
  ...['time', 'level', 'event', 'program', 'why', 'reason', 'count', 'found', 'open', 'file'],
  ...['device', 'host', 'boot', 'session', 'key', 'kid', 'state', 'backend', 'version', 'ms'],
]);

function eventOf(line: string): string | undefined {
  const at = line.indexOf('{');
  if (at < 0) return undefined;
  try {
    const event = JSON.parse(line.slice(at)) as Record<string, unknown>;
    if (typeof event['event'] !== 'string' || event['level'] === 'debug') return undefined;
    const kept = Object.entries(event).filter(([name]) => FIELDS.has(name));
    return JSON.stringify(Object.fromEntries(kept));
  } catch {
    return undefined;
  }
}

function withoutAmounts(line: string): string {
  return line.replace(/(?<![\d.:T-])\d+[.,]\d{2}(?![\d.:])/g, GONE);
}
