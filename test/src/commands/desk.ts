/** An operator's desk: the commands, a scripted person, real files, and a bridge on its stage. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEnrolments } from '../../../broker/enrolment.ts';
import { createIdentities } from '../../../broker/identities.ts';
import { operate } from '../../../broker/operator.ts';
import { createReceipts } from '../../../broker/receipts.ts';
import { utf8 } from '../../../src/bytes.ts';
import { type Command, type Context, runCommand } from '../../../src/command.ts';
import { OperatorError, PaymentError } from '../../../src/errors.ts';
import { createKeyFiles, readKeyFile } from '../../../src/keyfile.ts';
import { files, random } from '../../../src/node/platform.ts';
import { keyStatement } from '../../../src/objects/key.ts';
import { seal } from '../../../src/objects/kind.ts';
import { nodeSigner, publicPem } from '../../../src/signer.ts';
import {
  CAST,
  NOW_MS,
  REALM,
  RULES,
  type Role,
  createStage,
  settle,
  statementOf,
} from '../../broker/stage.ts';

/** How a command ended: its lines, what it asked, and its failure as one line. */
export type Ended = Readonly<{
  out: string;
  asked: readonly string[];
  failed: string | undefined;
  exit: number | undefined;
}>;

export type Desk = Awaited<ReturnType<typeof openDesk>>;

/** A desk in a folder of its own, with an empty bridge.yaml; `close` removes it. */
export async function openDesk() {
  const home = mkdtempSync(join(tmpdir(), 'saytap-desk-'));
  const at = (...names: readonly string[]) => join(home, ...names);
  const stage = await createStage();
  const { store, clock } = stage;
  files.create(at('bridge.yaml'), new Uint8Array(0), 0o600);
  files.create(at('root.pub.pem'), utf8(publicPem(CAST.root.key)), 0o644);
  const identities = createIdentities(store, REALM, CAST.root.key, clock);
  const enrolments = createEnrolments({
    ...{ realm: REALM, store, identities, clock, log: () => {}, root: CAST.root.key },
    ...{ receipts: createReceipts(REALM, CAST.bridge, clock), rootSigner: CAST.root },
    ...{ certify: undefined, ca: undefined, bridgeStatements: [], policies: [] },
    mqttUrl: () => 'mqtts://broker.example:8883',
  });
  const questions: Readonly<{ ask: string }>[] = [];

  const bridge = {
    async operate(config: string, question: Readonly<{ ask: string }>): Promise<unknown> {
      if (config !== at('bridge.yaml')) throw new Error(`${config} is not the bridge's`);
      questions.push(question);
      const parts = {
        realm: REALM,
        store,
        identities,
        enrolments,
        backends: [stage.backend.port],
        bridge: stage.bridge(),
        rules: RULES,
        clock,
      };
      const answer = await operate(parts as unknown as Parameters<typeof operate>[0], question);
      await settle();
      // As over the socket: what a running bridge says is JSON.
      const text = JSON.stringify(answer ?? null);
      return JSON.parse(text);
    },
    readBridgeConfig: () => ({ config: { ...REALM, root: 'root.pub.pem' } }),
  };

  return {
    home,
    at,
    stage,
    enrolments,
    /** Every question that was put to the bridge. */
    questions,
    /** A key file of a member of the cast, enrolled in the store instead of the one in memory. */
    async keyOf(role: Role): Promise<string> {
      const path = at(`${role}.pem`);
      createKeyFiles(files, path, 'ES256');
      const { key } = nodeSigner(readKeyFile(files, path));
      const statement = { ...statementOf(role), key: key.public, device: `${role}-2` };
      const { device: _device, ...rest } = statement;
      const said = statementOf(role).device === undefined ? rest : statement;
      const envelope = await seal(keyStatement, said, REALM, CAST.root);
      await store.putIdentity(key.name, said, envelope, NOW_MS);
      files.replace(at(`${role}.key`), envelope, 0o644);
      return path;
    },
    /** Runs `saytap NAME ...args`; the person answers these, then nothing. */
    async run(
      name: string,
      command: Command,
      args: readonly string[],
      ...answers: readonly string[]
    ): Promise<Ended> {
      const lines: string[] = [];
      const asked: string[] = [];
      const left = [...answers];
      const context = {
        ...{ files, random, clock, variable: () => undefined },
        write: (line: string) => lines.push(line),
        ask: (question: string) => {
          asked.push(question);
          return Promise.resolve(left.shift() ?? '');
        },
        program: () => Promise.resolve(bridge),
      } as unknown as Context;
      let failed: string | undefined;
      let exit: number | undefined;
      try {
        await runCommand(command, name, args, context);
      } catch (error) {
        if (error instanceof OperatorError) [failed, exit] = [error.message, error.exit];
        else if (error instanceof PaymentError) failed = `${error.reason}: ${error.message}`;
        else throw error;
      }
      return { out: lines.join('\n'), asked, failed, exit };
    },
    async close(): Promise<void> {
      await stage.bridge().close();
      rmSync(home, { recursive: true });
    },
  };
}
