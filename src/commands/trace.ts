/** `saytap trace`: one payment as a file, from what was said to the last word. */
import { UsageError, defineCommand } from '../command.ts';

const show = defineCommand({
  summary: 'a saved payment, from what was said to the last word',
  about:
    'What the person did, what was shown and said, what was signed (factors and bytes), the way ' +
    'of its messages, and what the bridge decided; in colours on a terminal.',
  inputs: [{ value: 'FILE', says: 'a trace', needs: 'a trace file' }],
  examples: ['trace show traces/lunch-rush-offline-3.trace'],
  async run({ inputs }, context) {
    const { show: run } = await context.program('trace');
    return run(inputs[0]!, context.isTerminal, context.write);
  },
});

const replay = defineCommand({
  summary: 'puts the bytes of saved payments to the code of today',
  about:
    'The same bytes at the same times, verified, judged and counted by the bridge’s own code on ' +
    'an empty store. What the risk service and the backend said is taken from the trace. Ends ' +
    'with 0 when every verdict is the same, with 1 when one is not, which is then told.',
  inputs: [
    { value: 'FILE…', says: 'traces, or folders of them', needs: 'a trace file', many: true },
  ],
  examples: ['trace replay traces/lunch-rush-offline-3.trace', 'trace replay traces'],
  async run({ inputs }, context) {
    const { replayAll } = await context.program('trace');
    return replayAll(inputs, context.isTerminal, context.write);
  },
});

export const command = defineCommand({
  summary: 'one payment as a file: shown, or decided again by the code of today',
  about:
    'Traces are made by saytap scenario run --trace DIR. Without --full they can be shown to ' +
    'anybody: names are replaced, amounts multiplied by a number that nobody keeps, and ' +
    'everything is signed anew, so that they still replay.',
  examples: [
    'scenario run lunch-rush-offline --trace traces',
    'trace show traces/lunch-rush-offline-3.trace',
    'trace replay traces',
  ],
  commands: { show, replay },
  run: () => {
    throw new UsageError('trace needs one of show, replay');
  },
});
