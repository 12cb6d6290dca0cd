/** The cast of a scenario as the cast of a world: the same people, with wallets and grants. */
import { readPolicy } from '../../src/root.ts';
import { grantOf } from '../../src/terms.ts';
import { createChance } from '../chance.ts';
import type { SiteCast } from '../site.ts';
import { type Cast, fundingOf } from './cast.ts';
import { wholeTerms } from './grant.ts';

/** Every person has a wallet and an account of that name; mandates are what the file says. */
export function siteCastOf(cast: Cast): SiteCast {
  const { currency, startMs, shops, kiosks, people, agents } = cast;
  // A mandate is granted a little before the day begins, so that no clock is too early for it.
  const nowS = Math.floor(startMs / 1000) - GRANTED_BEFORE_S;
  const grants: SiteCast['grants'][number][] = [];
  const grant = (wallet: string, holder: string, terms: Cast['people'][number]['mandate']) => {
    const whole = wholeTerms(terms, fundingOf(wallet), cast);
    // Two mandates of one text are one, so each is a second older than the one before.
    const iat = nowS - grants.length;
    grants.push({ wallet, holder, says: (cnf) => ({ ...grantOf(whole, { cnf, nowS }), iat }) });
  };
  for (const { name, glasses, mandate, tags } of people) {
    if (glasses !== undefined) grant(name, glasses, mandate);
    for (const [kiosk, terms] of Object.entries(tags)) grant(name, kiosk, terms);
  }
  for (const { name, of, mandate } of agents) grant(of, name, mandate);
  return {
    startMs,
    currency,
    wallets: people.map(({ name, account }) => ({
      name,
      payer: createChance(`payer ${name}`).bytes(16),
      funding: fundingOf(name),
      balance: account,
    })),
    shops: shops.map(({ name, names, category }) => ({ id: name, names, category })),
    kiosks: kiosks.map(({ name, shop, language }) => ({ name, shop, terminal: name, language })),
    glasses: people.flatMap(({ name, glasses, language, pin }) =>
      glasses === undefined
        ? []
        : [{ name: glasses, wallet: name, language, ...(pin !== undefined && { pin }) }],
    ),
    agents: agents.map(({ name, of }) => ({ name, wallet: of })),
    ledgers: ['ledger'],
    policy: readPolicy(cast.policy, 'policy', nowS),
    grants,
  };
}

const GRANTED_BEFORE_S = 3600;
