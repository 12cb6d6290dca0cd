/**
 * Errors that nobody caught, for a program that has to know of them and go on: a simulated world,
 * in which programs die in the middle of what they do.
 */

/**
 * Calls `hear` with every rejection that nobody handles, in place of whoever else listens, until
 * the returned function is called.
 */
export function hearUnhandled(hear: (error: unknown) => void): () => void {
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', hear);
  return () => {
    process.off('unhandledRejection', hear);
    for (const other of others) process.on('unhandledRejection', other);
  };
}
