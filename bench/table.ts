/** Columns of a benchmark: the first to the left, the others to the right, fixed widths. */
export function row(title: string, width: number, ...cells: readonly (string | number)[]): string {
  return `  ${title.padEnd(width)}${cells.map((cell) => String(cell).padStart(12)).join('')}`;
}

/** A goal (a figure that is not to be exceeded), what was measured, and what limits it. */
export function goalRow(title: string, goal: number, figure: number, limit: string): string {
  const digits = goal < 10 ? 2 : 0;
  const verdict = figure <= goal ? ' ' : '!';
  const cells = [`≤ ${goal.toFixed(digits)}`, `${figure.toFixed(digits)} ${verdict}`];
  return `${row(title, 48, ...cells)}  ${limit}`;
}
