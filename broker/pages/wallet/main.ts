/** The wearer's companion page: from the one-time link to a wallet that grants and revokes. */
import { toBase64url } from '../../../src/bytes.ts';
import { openVault } from '../../../src/browser/vault.ts';
import { openWorld } from '../../../src/browser/world.ts';
import type { Signer } from '../../../src/cose.ts';
import { enrol as enrolKind } from '../../../src/objects/enrol.ts';
import { seal } from '../../../src/objects/kind.ts';
import { type Brought, type Frame, type Session, startPage } from '../frame.ts';
import { button, card, el, show } from '../../../src/screen.ts';
import { type Standing, home } from './home.ts';
import { newLimits, pairing } from './pairing.ts';

startPage(openWorld(), (words) => words.wallet, run);

const WAIT_MS = 2_000;

function run(frame: Frame, session: Session | undefined, brought: Brought): void {
  const { words, main } = frame;
  if (session?.role === 'wearer') return void enter(frame, brought);
  show(main, el('h1', {}, words.loginNeeded), card(words.wallet, el('p', {}, words.wearerLogin)));
}

/** Finds the wallet's key in this browser, or offers to make it. */
async function enter(frame: Frame, brought: Brought): Promise<void> {
  const { words, main } = frame;
  const standing = await frame.ask<Standing>('wearer');
  if (!standing) return;
  const vault = await openVault().catch(() => undefined);
  if (!vault) {
    show(main, el('h1', {}, words.setUp), card(words.wallet, el('p', {}, words.noVault)));
    return;
  }
  const wallet = await vault.find(nameOf(standing));
  const known = wallet && standing.keys.find(({ name }) => name === wallet.key.name);
  if (wallet && known?.status === 'active') return open(frame, standing, wallet, brought);

  async function setUp(): Promise<void> {
    const name = nameOf(standing!);
    // A blocked key never counts again, so a found phone begins anew.
    if (known?.status === 'revoked') await vault!.forget(name);
    const signer = (await vault!.find(name)) ?? (await vault!.make(name));
    const enrol = await enrolOf(frame, standing!, signer);
    const done = await frame.ask<Readonly<{ state: 'enrolled' | 'unsigned' }>>('wallet', { enrol });
    if (done?.state === 'enrolled') await enter(frame, brought);
    else if (done) waitForRoot(frame, signer, brought);
  }
  show(
    main,
    el('h1', {}, words.setUp),
    card(
      words.account(standing.funding, standing.currency),
      el('p', {}, words.setUpWhy),
      button(words.makeKey, setUp, { kind: 'main', id: 'make' }),
    ),
  );
}

async function enrolOf({ world }: Frame, { realm, payer }: Standing, wallet: Signer) {
  const asked = {
    iat: world.nowS(),
    key: wallet.key.public,
    role: 'wallet' as const,
    device: `wallet-${payer}`,
  };
  return toBase64url(await seal(enrolKind, asked, realm, wallet));
}

/** The root is elsewhere: the operator signs, and this page goes on when that is done. */
function waitForRoot(frame: Frame, wallet: Signer, brought: Brought): void {
  const { words, main, world } = frame;
  const place = card(words.wallet, el('p', {}, words.waitsForRoot));
  show(main, el('h1', {}, words.setUp), place);
  const look = async () => {
    if (!place.isConnected) return;
    const answer = await world.ask('wearer');
    const keys = answer.ok ? (answer.value as Standing).keys : [];
    if (keys.some(({ name }) => name === wallet.key.name)) return enter(frame, brought);
    world.after(WAIT_MS, () => void look());
  };
  world.after(WAIT_MS, () => void look());
}

function open(frame: Frame, standing: Standing, wallet: Signer, brought: Brought): void {
  const back = () => void enter(frame, {});
  const pair = (named: string) => void pairing(frame, standing, wallet, named, back);
  if (brought.pairing !== undefined) return pair(brought.pairing);
  home(frame, standing, wallet, {
    pair,
    limits: (key) => newLimits(frame, standing, wallet, key, back),
  });
}

/** One browser may hold the wallets of several accounts and ledgers. */
function nameOf({ realm, funding }: Standing): string {
  return `${realm.environment}/${realm.ledger}/${funding}`;
}
