/** The PEM files that a configuration names under `mqtt`, read anew for every connection. */
import { requireText } from './files.ts';
import { readSecretText } from './keyfile.ts';
import type { Files, Tls } from './platform.ts';

/** Paths as they stand in a configuration. */
export type TlsFiles = Readonly<{ url: string } & { [Name in keyof Tls]: Tls[Name] }>;

/** What is wrong with the settings together; undefined when nothing is. */
export function tlsProblem({ url, ca, certificate, key }: TlsFiles): string | undefined {
  if ((certificate === undefined) !== (key === undefined)) return 'certificate and key go together';
  const isNamed = ca !== undefined || certificate !== undefined;
  if (isNamed && !url.startsWith('mqtts://')) return 'ca, certificate and key need mqtts://';
  return undefined;
}

/**
 * The texts of the files; `at` resolves a path of the configuration. Throws OperatorError `config`
 * for a file that is missing, `key` for a private key that others can read.
 */
export function readTls(
  files: Files,
  at: (path: string) => string,
  { ca, certificate, key }: TlsFiles,
): Tls {
  return {
    ...(ca !== undefined && { ca: requireText(files, at(ca)) }),
    ...(certificate !== undefined && { certificate: requireText(files, at(certificate)) }),
    ...(key !== undefined && { key: readSecretText(files, at(key)) }),
  };
}
