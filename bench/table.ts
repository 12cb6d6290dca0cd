/** Columns of a benchmark: the first to the left, the others to the right, fixed widths. */
export function row(title: string, width: number, ...cells: readonly (string | number)[]): string {
  return `  ${title.padEnd(width)}${cells.map((cell) => String(cell).padStart(12)).join('')}`;
}
