/**
 * One question and one answer between two programs of one user on one machine, over a Unix socket.
 *
 * The socket lies in a folder that only its owner may enter, so whoever reaches it may read the
 * program's files as well; it adds no right that was not there.
 */
import { chmodSync, rmSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { relative } from 'node:path';
import { OperatorError } from '../errors.ts';
import {
  OPERATOR_ANSWER_BYTES_MAX,
  OPERATOR_QUESTION_BYTES_MAX,
  OPERATOR_SLOW_MS,
} from '../limits.ts';

/**
 * Answers each connection's one question (UTF-8, ended by closing that half). A socket file that a
 * killed program left is replaced: the caller owns the folder's database, so nobody else listens.
 */
export async function serveSocket(
  path: string,
  answer: (question: string) => Promise<string>,
): Promise<Readonly<{ close: () => Promise<void> }>> {
  const address = shortest(path);
  rmSync(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    const late = setTimeout(() => socket.destroy(), OPERATOR_SLOW_MS);
    socket.once('end', () => clearTimeout(late));
    socket.once('close', () => clearTimeout(late));
    readAll(socket, OPERATOR_QUESTION_BYTES_MAX)
      .then(answer)
      .then((text) => socket.end(text))
      .catch(() => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new OperatorError('address', `cannot listen at ${path}: ${cause.message}`, { cause }));
    });
    server.listen(address, resolve);
  });
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

/** Puts one question; undefined when nobody listens there. Throws OperatorError `failed`. */
export async function askSocket(path: string, question: string): Promise<string | undefined> {
  const socket = connect({ path: shortest(path), allowHalfOpen: true });
  const isConnected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  if (!isConnected) return undefined;
  socket.end(question);
  const answer = await readAll(socket, OPERATOR_ANSWER_BYTES_MAX).catch(() => '');
  // Cut off looks like an ordinary end; an answer is never empty.
  if (answer === '') throw new OperatorError('failed', 'the bridge ended before it answered');
  return answer;
}

/** Unix sockets have short names (107 bytes on Linux): a path may fit from here and not in full. */
function shortest(path: string): string {
  const near = relative(process.cwd(), path);
  const address = near.length < path.length ? near : path;
  if (Buffer.byteLength(address) <= SOCKET_BYTES_MAX) return address;
  throw new OperatorError(
    'address',
    `the path of the operator's socket is too long (${path}): give the bridge a shorter folder`,
  );
}

const SOCKET_BYTES_MAX = 107;

function readAll(socket: Socket, bytesMax: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    socket.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > bytesMax) socket.destroy(new Error('more than may be said'));
      else chunks.push(chunk);
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before the end')));
    socket.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
  });
}
