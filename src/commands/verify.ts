/** `saytap verify`: whether an object holds, as an exit code. */
import { readArgument } from '../argument.ts';
import { REALM_OPTIONS, defineCommand, realmOf } from '../command.ts';
import { verify } from '../inspect.ts';
import { readVerifyKey } from '../keyfile.ts';
import { KINDS, type KindName } from '../objects/kinds.ts';

export const command = defineCommand({
  summary: 'exit code 0 if an object holds, 1 if not',
  about: 'Verifies as every receiver does, and prints what the object says as JSON.',
  inputs: [
    { value: 'FILE', says: 'the object; also hex, base64url, a link, or -', needs: 'a file' },
  ],
  options: {
    key: { value: 'FILE', says: 'public key (PEM) or Key statement', needed: true },
    kind: {
      value: 'KIND',
      choices: Object.keys(KINDS) as KindName[],
      says: 'what it is',
      needed: true,
    },
    ...REALM_OPTIONS,
  },
  examples: ['verify --env sim --ledger demo --kind key --key root.pub.pem statements/bridge.key'],
  async run({ options, inputs }, context) {
    const key = readVerifyKey(context.files, options.key);
    const bytes = await readArgument(context, inputs[0]!);
    const { id, value } = verify(bytes, options.kind, realmOf(options), key);
    context.write(`valid ${options.kind} ${id}`);
    context.write(JSON.stringify(value, undefined, 2));
  },
});
