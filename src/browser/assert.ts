/** node:assert for a page: what src/ asserts holds there too. esbuild puts it in place. */

export default Object.assign(assert, { equal });

function assert(holds: unknown, message = 'a promise of this program does not hold'): void {
  if (!holds) throw new Error(message);
}

function equal(actual: unknown, expected: unknown, message?: string): void {
  assert(Object.is(actual, expected), message);
}
