/** `saytap inspect`: every layer of an object in plain words. */
import { readArgument } from '../argument.ts';
import { defineCommand, realmOf, REALM_OPTIONS, UsageError } from '../command.ts';
import { inspect } from '../inspect.ts';
import { readVerifyKey } from '../keyfile.ts';
import { type KindName, KINDS } from '../objects/kinds.ts';

const { env, ledger } = REALM_OPTIONS;

export const command = defineCommand({
  summary: 'an object, layer by layer, in plain words',
  about:
    'Shows what an object says, byte by byte, also when it is damaged. The signature is checked ' +
    'when key, environment and ledger are given; the kind is found out.',
  inputs: [
    {
      value: 'INPUT',
      says: 'a file, hex, base64url, a saytap:// link, or - for standard input',
      needs: 'a file, hex, base64url or -',
    },
  ],
  options: {
    key: { value: 'FILE', says: 'public key (PEM) or Key statement to check the signature with' },
    kind: { value: 'KIND', choices: Object.keys(KINDS) as KindName[], says: 'what it should be' },
    env: { value: env.value, choices: env.choices, says: env.says },
    ledger: { value: ledger.value, says: ledger.says },
  },
  examples: [
    'inspect --env sim --ledger demo --key statements/glasses.key last.request',
    'inspect - < last.request',
  ],
  async run({ options, inputs }, context) {
    if ((options.env === undefined) !== (options.ledger === undefined)) {
      throw new UsageError('--env and --ledger go together');
    }
    const bytes = await readArgument(context, inputs[0]!);
    const lines = inspect(bytes, {
      ...(options.env !== undefined && {
        realm: realmOf({ env: options.env, ledger: options.ledger! }),
      }),
      ...(options.kind !== undefined && { kind: options.kind }),
      ...(options.key !== undefined && { key: readVerifyKey(context.files, options.key) }),
    });
    for (const line of lines) context.write(line);
  },
});
