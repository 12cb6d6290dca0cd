/**
 * `saytap invite`: a one-time link to a page of the bridge, for an operator or for a wearer.
 *
 * The link's secret is in its fragment and is printed here once; the bridge keeps only its hash.
 */
import { type Context, defineCommand } from '../command.ts';
import { CONFIG, type Question, askBridge } from './operator.ts';

const BY = { value: 'NAME', says: 'who answers for it, for the evidence', needed: true } as const;

const operator = defineCommand({
  summary: 'a link to the pairing page',
  about:
    'Whoever opens it first may approve and refuse devices, say who is paid at a till, and block ' +
    'what was lost. It works once and for ten minutes; the login lasts twelve hours.',
  options: { config: CONFIG, by: BY },
  examples: ['invite operator --config bridge.yaml --by "Li Na"'],
  run: ({ options }, context) => print(context, options.config, { ask: 'invite', by: options.by }),
});

const wearer = defineCommand({
  summary: "a link to the wearer's page, for one account",
  about:
    'This link is the login at the ledger: whoever opens it first makes a wallet key that may ' +
    'spend from the account. Hand it to the account’s owner and to nobody else. It works once ' +
    'and for ten minutes; the login lasts twelve hours.',
  options: {
    config: CONFIG,
    funding: { value: 'REF', says: 'the account, open at the ledger', needed: true },
    by: BY,
    payer: { value: 'ID', says: 'a payer who is known already (without it: a new one)' },
  },
  examples: ['invite wearer --config bridge.yaml --funding acct-1 --by "Li Na"'],
  run: ({ options }, context) => {
    const { config, funding, by, payer } = options;
    return print(context, config, { ask: 'invite', funding, by, ...(payer && { payer }) });
  },
});

async function print(context: Context, config: string, question: Question): Promise<void> {
  const { url, minutes } = await askBridge<Readonly<{ url: string; minutes: number }>>(
    context,
    config,
    question,
  );
  context.write(url);
  context.write(`opens once, within ${minutes} minutes`);
}

export const command = Object.freeze({
  summary: "one-time links to the bridge's pages",
  examples: [
    'invite operator --config bridge.yaml --by "Li Na"',
    'invite wearer --config bridge.yaml --funding acct-1 --by "Li Na"',
  ],
  commands: { operator, wearer },
});
