// The life of a mandate at the command line: created, looked at, checked, stopped, ended.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../../src/bytes.ts';
import { command } from '../../../src/commands/mandate.ts';
import { command as walletCommand } from '../../../src/commands/wallet.ts';
import { payloadOf } from '../../../src/cose.ts';
import { EXITS } from '../../../src/errors.ts';
import { readVerifyKey } from '../../../src/keyfile.ts';
import { files } from '../../../src/node/platform.ts';
import { open } from '../../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../../src/objects/mandate.ts';
import { revoke as revokeKind } from '../../../src/objects/revoke.ts';
import { grantText } from '../../../src/wallet.ts';
import { NOW_S, PAYER, REALM, putMandate } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
beforeEach(async () => void (desk = await openDesk()));
afterEach(() => desk.close());

const mandate = (args: readonly string[], ...answers: readonly string[]) =>
  desk.run('mandate', command, args, ...answers);
const SIM = ['--env', 'sim', '--ledger', 'demo'];
const bridge = () => ['--bridge', desk.at('bridge.yaml')];

/** `mandate create` for the glasses, with everything that is needed and these besides. */
async function create(more: readonly string[], ...answers: readonly string[]) {
  if (!files.read(desk.at('wallet.pem'))) await desk.keyOf('wallet');
  if (!files.read(desk.at('glasses.pem'))) await desk.keyOf('glasses');
  return mandate(
    [
      ...['create', '--wallet', desk.at('wallet.pem'), '--to', desk.at('glasses.pem.pub')],
      ...[...SIM, '--out', desk.at('glasses.mandate'), ...more],
    ],
    ...answers,
  );
}
const TERMS = ['--funding', 'acct-1', '--currency', 'CNY', '--per-payment', '20', '--total', '100'];

/** The mandate in the file, its signature verified. */
function signed(name = 'glasses.mandate', signer = 'wallet') {
  const key = readVerifyKey(files, desk.at(`${signer}.pem.pub`));
  return open(mandateKind, files.read(desk.at(name))!, REALM, () => key);
}

describe('mandate create', () => {
  test('shows the words, asks, and signs exactly that', async () => {
    const more = ['--per-day', '50/3', '--zone', 'Asia/Shanghai', '--payee', 'cafe', '--gap', '1m'];
    const { out, asked, failed } = await create([...TERMS, ...more], 'yes');
    expect({ failed, asked }).toEqual({ failed: undefined, asked: ['Sign this? Type yes: '] });
    const { id, value } = signed();
    for (const words of [
      'At most 20.00 yuan per payment.',
      'At most 50.00 yuan and 3 times per day (Asia/Shanghai).',
      'At least 1 minute between two payments.',
      `mandate ${id} in ${desk.at('glasses.mandate')}`,
    ]) {
      expect(out).toContain(words);
    }
    expect(value).toMatchObject({ perPaymentMax: 20_00n, gap: 60, exp: NOW_S + 86_400 });
    expect(desk.questions).toEqual([]);
  });

  test.each(['no', 'y', ''])('%j signs nothing', async (answer) => {
    const { failed, exit } = await create([...TERMS, ...bridge()], answer);
    expect({ failed, exit }).toEqual({ failed: 'nothing was signed', exit: EXITS.failed });
    expect(files.read(desk.at('glasses.mandate'))).toBeUndefined();
    expect(desk.questions).toEqual([]);
  });

  test('hands it to the bridge, and says whether it was taken', async () => {
    const { out, failed } = await create([...TERMS, '--yes', ...bridge()]);
    expect(failed).toBeUndefined();
    expect(out).toContain('the bridge has taken it');
    const { id } = signed();
    expect(await desk.stage.store.mandate(id, NOW_S * 1000)).toMatchObject({ status: 'active' });
    desk.stage.backend.linked = false;
    const second = desk.at('second.mandate');
    const terms = [...TERMS, '--epoch', '2', '--yes', ...bridge()];
    const refused = await create([...terms, '--out', second]);
    expect(refused.failed).toMatch(/^funding_unknown: funding is not linked/);
    expect(refused.failed).toContain(
      `It is signed all the same; when this is mended: saytap mandate submit ${second} --bridge `,
    );
    expect(signed('second.mandate').value.epoch, 'signed all the same').toBe(2);
    desk.stage.backend.linked = true;
    const submitted = await mandate(['submit', second, ...bridge()]);
    expect(submitted.failed).toBeUndefined();
    const told = `mandate ${signed('second.mandate').id}\nthe bridge has taken it`;
    expect(submitted.out).toBe(told);
    const again = await mandate(['submit', second, ...bridge()]);
    expect([again.failed, again.out], 'again changes nothing').toEqual([undefined, told]);
  });

  test('never overwrites: refused before anything is shown or asked', async () => {
    const taken = desk.at('glasses.mandate');
    files.create(taken, new Uint8Array([1]), 0o600);
    const { failed, exit, out, asked } = await create(TERMS, 'yes');
    expect({ failed, exit, out, asked }).toEqual({
      failed: `${taken} exists already: choose another name`,
      exit: EXITS.storage,
      out: '',
      asked: [],
    });
    expect(files.read(taken)).toEqual(new Uint8Array([1]));
    const nowhere = await create([...TERMS, '--out', desk.at('none', 'x.mandate')], 'yes');
    expect(nowhere.failed).toMatch(/^cannot write .*: the folder .*none does not exist$/);
  });

  test('what may be overlooked is shown with the text, and not signed', async () => {
    const { out, failed } = await create([...TERMS, '--per-day', '10', '--yes']);
    expect(failed).toBeUndefined();
    expect(out).toContain('\nNOTE: a limit over time is 10.00 yuan');
    const { value } = signed();
    const text = grantText(value, 'en', (payee) => payee);
    expect(toHex(value.textDigest)).toBe(createHash('sha256').update(text).digest('hex'));
  });

  test('takes the same fields from a file, and no mixture', async () => {
    const text = 'funding: acct-1\ncurrency: CNY\nperPayment: "20"\nperWeek: "80/4"\n';
    writeFileSync(desk.at('terms.yaml'), text);
    const { failed } = await create(['--terms', desk.at('terms.yaml'), '--yes']);
    expect(failed).toBeUndefined();
    expect(signed().value.windows).toEqual([
      { kind: 'calendar', period: 'week', zone: 'UTC', max: 80_00n, count: 4 },
    ]);
    const other = ['--out', desk.at('other.mandate')];
    const both = ['--terms', desk.at('terms.yaml'), '--total', '1', '--yes', ...other];
    const mixed = await create(both);
    expect(mixed.failed).toMatch(/^--terms has all the fields/);
    expect(mixed.exit).toBe(EXITS.usage);
  });

  test('hands a part on to another key; only the key of the parent may sign it', async () => {
    await create([...TERMS, '--yes', ...bridge()]);
    await desk.keyOf('agent');
    const child = (wallet: string, out: string) => [
      ...['create', '--parent', desk.at('glasses.mandate'), '--wallet', desk.at(wallet)],
      ...['--to', desk.at('agent.key'), ...SIM, '--per-payment', '5', '--out', desk.at(out)],
      ...['--channel', 'autonomous', '--yes', ...bridge()],
    ];
    const { out, failed } = await mandate(child('glasses.pem', 'c.mandate'));
    expect(failed).toBeUndefined();
    const parent = signed();
    expect(out).toContain(`Handed on from mandate ${parent.id}`);
    const { value } = signed('c.mandate', 'glasses');
    expect(value).toMatchObject({
      parent: parent.id,
      funding: 'acct-1',
      perPaymentMax: 5_00n,
      channels: 16,
      windows: parent.value.windows,
    });
    const wrong = await mandate(child('wallet.pem', 'd.mandate'));
    expect(wrong.failed).toMatch(/wallet\.pem is not the key that the parent mandate is for$/);
    expect(wrong.exit).toBe(EXITS.key);
  });

  test('pays one order once, beyond what any device may confirm (P4)', async () => {
    const lines = [{ text: 'Espresso machine', quantity: 1, total: 5_000_00n }];
    const amount = { currency: 'CNY', minor: 5_000_00n };
    const order = await desk.stage.order({ amount, lines });
    files.create(desk.at('o.order'), order.envelope, 0o600);
    await desk.stage.store.putOrder(order.id, 'kiosk', order.envelope, NOW_S * 1000);
    const once = ['--once', desk.at('o.order'), '--funding', 'acct-1', '--yes', ...bridge()];
    const { out, failed } = await create(once);
    expect(failed).toBeUndefined();
    expect(out).toContain('Exactly 5000.00 yuan per payment.');
    expect(out).toContain(
      `Payees: cafe, and of these only terminal till-1, and of these only order`,
    );
    expect(out).toContain(order.id);
    const asked = ['--payee', 'cafe', '--amount', '5000', '--terminal', 'till-1'];
    const check = ['check', ...bridge(), '--mandate', signed().id, ...asked];
    const allowed = await mandate([...check, '--order', order.id]);
    expect(allowed.failed).toBeUndefined();
    expect(allowed.out).toMatch(/^Allowed: pay 5000\.00 yuan to cafe/);
    expect((await mandate(check)).failed).toMatch(/^Refused: order_mismatch/);
  });

  test.each([
    [['--terms', 'none.yaml'], /none\.yaml does not exist$/, EXITS.config],
    [['--parent', 'a', '--once', 'b'], /^--parent and --once exclude each other; see/, EXITS.usage],
    [[...TERMS, '--days', '0'], /^--days is a whole number from 1 to 3660/, EXITS.usage],
    [TERMS.slice(2), /^--funding is needed; see saytap mandate create --help$/, EXITS.usage],
  ] as const)('%j is refused in one line', async (args, line, code) => {
    const { failed, exit, asked } = await create([...args]);
    expect(failed).toMatch(line);
    expect({ exit, asked }).toEqual({ exit: code, asked: [] });
  });
});

describe('mandate show', () => {
  test('a file, in words and as data', async () => {
    await create([...TERMS, '--yes']);
    const { out } = await mandate(['show', desk.at('glasses.mandate'), '--language', 'zh']);
    expect(out).toContain('单笔最多 20.00元。');
    expect(out.split('\n').at(-1)).toBe('its id: say --env and --ledger, or --bridge');
    const named = await mandate(['show', desk.at('glasses.mandate'), ...SIM]);
    expect(named.out.split('\n').at(-1)).toBe(`mandate ${signed().id}`);
    expect(out).toContain('"perPaymentMax"');
    const same = await desk.run('wallet', walletCommand, ['show', desk.at('glasses.mandate')]);
    expect(same.out).toContain('At most 20.00 yuan per payment.');
  });

  test('with a bridge its status, and what each window has left', async () => {
    const { store } = desk.stage;
    await create([...TERMS, '--per-day', '50/3', '--yes', ...bridge()]);
    const { id } = signed();
    await mandate([
      'suspend',
      desk.at('glasses.mandate'),
      ...bridge(),
      '--by',
      'mei',
      '--why',
      'test',
    ]);
    const { out } = await mandate(['show', desk.at('glasses.mandate'), ...bridge()]);
    expect(out).toContain(`mandate ${id} is suspended: it can be resumed`);
    expect(out).toContain(
      '[----------] per day, UTC: 50.00 of 50.00 yuan and 3 of 3 payments left',
    );
    const short = await mandate(['show', id.slice(0, 8), ...bridge()]);
    expect(short.out).toMatch(new RegExp(`^mandate ${id} is suspended`));
    expect(await store.mandate(id, NOW_S * 1000)).toMatchObject({ status: 'suspended' });
  });

  test('bars fill with what was paid', async () => {
    const windows = [{ kind: 'total', max: 100_00n, count: 9 }] as const;
    const id = await putMandate(desk.stage.store, { windows });
    const bars: string[] = [];
    for (const [counter, minor] of [1n, 49_99n, 49_99n, 1n].entries()) {
      const amount = { currency: 'CNY', minor };
      const request = await desk.stage.request({ mandate: id, counter: counter + 1, amount });
      await desk.stage.deliver('glasses', 'request', request.envelope);
      const { out } = await mandate(['show', id, ...bridge()]);
      bars.push(/\[.*?\].*/.exec(out)![0]);
    }
    expect(bars).toEqual([
      '[#---------] in all: 99.99 of 100.00 yuan and 8 of 9 payments left',
      '[#####-----] in all: 50.00 of 100.00 yuan and 7 of 9 payments left',
      '[#########-] in all: 0.01 of 100.00 yuan and 6 of 9 payments left',
      '[##########] in all: 0.00 of 100.00 yuan and 5 of 9 payments left',
    ]);
    const { out } = await mandate(['show', id, ...bridge()]);
    expect(out).toContain('is finished: its total is used up');
  });

  test('what there is not, or what is named too shortly', async () => {
    const none = await mandate(['show', '12'.repeat(16), ...bridge()]);
    expect(none.failed).toMatch(
      /^mandate_unknown: this bridge has no mandate 1212.*: saytap mandate submit FILE --bridge /,
    );
    await create([...TERMS, '--yes']);
    const file = desk.at('glasses.mandate');
    expect((await mandate(['show', file, ...bridge()])).failed).toContain(
      `; to hand it in: saytap mandate submit ${file} --bridge `,
    );
    expect((await mandate(['show', 'ffff', ...bridge()])).failed).toMatch(
      /^there is no mandate ffff at this bridge/,
    );
    expect((await mandate(['show', desk.at('none')])).failed).toMatch(/none does not exist$/);
  });
});

describe('mandate list', () => {
  test('pages through everything, as a table', async () => {
    for (let epoch = 0; epoch < 101; epoch++) await putMandate(desk.stage.store, { epoch });
    const { out } = await mandate(['list', ...bridge()]);
    const [head, ...rows] = out.split('\n');
    expect(head).toMatch(/^mandate +status +payer +until +per payment$/);
    expect(rows).toHaveLength(202);
    expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(100);
    expect(desk.questions).toHaveLength(2);
    expect(rows[0]).toMatch(/^[0-9a-f]{32} {2}active {2}07070707 .* 200\.00 yuan$/);
    expect(rows[1]).toBe('  in all: 1000.00 of 1000.00 yuan and 100 of 100 payments left');
  });

  test('of what has ended nothing is left', async () => {
    const id = await putMandate(desk.stage.store, { exp: NOW_S - 1 });
    const { out } = await mandate(['list', ...bridge()]);
    expect(out.split('\n')).toHaveLength(2);
    expect(out).toMatch(new RegExp(`\n${id} +expired`));
    const shown = await mandate(['show', id, ...bridge()]);
    expect(shown.out).toContain('in all: 0.00 of 1000.00 yuan and 0 of 100 payments used');
  });

  test('of one person, and of nobody', async () => {
    await putMandate(desk.stage.store, {});
    const mine = await mandate(['list', ...bridge(), '--payer', toHex(PAYER)]);
    expect(mine.out.split('\n')).toHaveLength(3);
    const other = await mandate(['list', ...bridge(), '--payer', 'ff'.repeat(16)]);
    expect(other.out).toBe('no mandates');
  });
});

describe('mandate check', () => {
  const ask = (id: string, amount: string, more: readonly string[] = []) =>
    mandate([
      ...['check', ...bridge(), '--mandate', id, '--payee', 'cafe', '--amount', amount, ...more],
    ]);

  test('allowed: what would be left', async () => {
    const id = await putMandate(desk.stage.store, {});
    const { out, failed } = await ask(id, '12.50');
    expect(failed).toBeUndefined();
    expect(out).toBe(
      'Allowed: pay 12.50 yuan to cafe, tap, P2 (a physical act on the device). ' +
        'Left afterwards: in all 987.50 yuan and 99 payments.',
    );
    const access = ['check', ...bridge(), '--mandate', id, '--payee', 'cafe', '--action', 'access'];
    expect((await mandate(access)).out).toMatch(/^Allowed: access to be let in by cafe, tap/);
  });

  test('a window without a count tells none, and seconds are told as people say them', async () => {
    const windows = [
      { kind: 'total', max: 1_000_00n, count: 2 },
      { kind: 'rolling', seconds: 600, max: 100_00n, count: 999_999 },
    ] as const;
    const id = await putMandate(desk.stage.store, { windows });
    expect((await ask(id, '12.50')).out).toContain(
      'Left afterwards: in all 987.50 yuan and 1 payment; any 10 minutes 87.50 yuan.',
    );
    const { out } = await mandate(['show', id, ...bridge()]);
    expect(out).toContain('[----------] any 10 minutes: 100.00 of 100.00 yuan left');
  });

  test('refused: which window of which mandate, by how much, and what to do', async () => {
    const id = await putMandate(desk.stage.store, {
      windows: [
        { kind: 'total', max: 1_000_00n, count: 9 },
        { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 11_20n, count: 9 },
      ],
    });
    const { failed, exit, out } = await ask(id.slice(0, 12), '12.50');
    expect({ exit, out }).toEqual({ exit: EXITS.failed, out: '' });
    expect(failed).toBe(
      `Refused: limit_window. Window 2 (per day, Asia/Shanghai) of mandate ${id.slice(0, 8)} has ` +
        '11.20 yuan of 11.20 yuan left, 12.50 yuan is asked for. It is full again when the ' +
        'period of its calendar begins anew; pay less, or have the wallet sign another mandate.',
    );
  });

  test.each([
    ['201', [], /^Refused: limit_per_payment\. .*\. Pay an amount within it/],
    ['30', ['--presence', 'P1'], /^Refused: presence_too_low\. .* Confirm more strongly/],
    ['30', ['--presence', '1'], /^Refused: presence_too_low\. .* Confirm more strongly/],
    ['5', ['--terminal', 'till-7'], /^Refused: scope_terminal\. .* Name a terminal/],
    ['5', ['--order', '12'.repeat(16)], /^Refused: order_unknown\. .* Have the terminal send/],
  ])('%s with %j', async (amount, more, line) => {
    const id = await putMandate(desk.stage.store, {});
    expect((await ask(id, amount, more)).failed).toMatch(line);
  });

  test('an amount is needed, and access has none', async () => {
    const id = await putMandate(desk.stage.store, {});
    const base = ['check', ...bridge(), '--mandate', id, '--payee', 'cafe'];
    expect((await mandate(base)).failed).toMatch(/^--amount is needed/);
    expect((await ask(id, '1', ['--action', 'access'])).failed).toMatch(/^--amount is needed/);
  });

  test.each([
    ['1.234', [], /^--amount is not an amount in CNY, as 12\.50; see/],
    ['1', ['--presence', 'P4'], /^--presence is P0, P1, P2 or P3; see/],
    ['1', ['--presence', 'high'], /^--presence is P0/],
    ['1', ['--order', 'nothex'], /^--order is the id of an order: 32 hexadecimal digits; see/],
  ])('%s with %j names the option', async (amount, more, line) => {
    const id = await putMandate(desk.stage.store, {});
    const { failed, exit } = await ask(id, amount, more);
    expect(failed).toMatch(line);
    expect(exit).toBe(EXITS.usage);
  });

  test('a mandate that is no file and no id, or a file of something else', async () => {
    const missing = desk.at('none.mandate');
    expect((await ask(missing, '1')).failed).toContain(`there is no file ${missing}, and the id`);
    const { envelope } = await desk.stage.request({ mandate: '12'.repeat(16), counter: 1 });
    files.create(desk.at('x.request'), envelope, 0o600);
    files.create(desk.at('x.text'), new Uint8Array([104, 105]), 0o600);
    for (const [name, words] of [
      ['x.request', 'is a request, not a mandate'],
      ['x.text', 'is nothing that saytap signs, not a mandate'],
    ] as const) {
      const { failed, exit } = await ask(desk.at(name), '1');
      expect([failed, exit]).toEqual([`${desk.at(name)} ${words}`, EXITS.usage]);
    }
  });
});

describe('mandate suspend and resume', () => {
  const words = ['--by', 'mei', '--why', 'asked by phone'];

  test('stop it and let it go on; who and why are in the evidence', async () => {
    const id = await putMandate(desk.stage.store, {});
    const stopped = await mandate(['suspend', id.slice(0, 10), ...bridge(), ...words]);
    expect(stopped.out).toBe(`mandate ${id} is suspended`);
    const twice = await mandate(['suspend', id, ...bridge(), ...words]);
    expect(twice.failed).toBe(`mandate ${id} stays suspended: it can be resumed`);
    const resumed = await mandate(['resume', id, ...bridge(), ...words]);
    expect(resumed.out).toBe(`mandate ${id} is active`);
    const notes = (await desk.stage.store.evidence(id)).map(({ body }) =>
      new TextDecoder().decode(body),
    );
    expect(notes.join('\n')).toContain('asked by phone');
    expect((await mandate(['suspend', id, ...bridge()])).failed).toMatch(/^--by is needed/);
  });
});

describe('mandate revoke', () => {
  const payer = () => ['--payer', toHex(PAYER)];
  const wallet = async () => {
    const path = files.read(desk.at('wallet.pem'))
      ? desk.at('wallet.pem')
      : await desk.keyOf('wallet');
    return ['--wallet', path, ...SIM];
  };

  test('by its file: signed after a yes, handed in, and for good', async () => {
    await create([...TERMS, '--yes', ...bridge()]);
    const { id } = signed();
    const args = [
      'revoke',
      desk.at('glasses.mandate'),
      ...(await wallet()),
      ...payer(),
      ...bridge(),
    ];
    expect((await mandate(args, 'no')).failed).toBe('nothing was signed');
    const { out, failed } = await mandate(args, 'yes');
    expect(failed).toBeUndefined();
    expect(out).toContain(`The whole id of the mandate: ${id}.`);
    expect(out).toContain('nothing was still running');
    const shown = await mandate(['show', id, ...bridge()]);
    expect(shown.out).toContain('is revoked: for good');
    const resumed = ['resume', id, ...bridge(), '--by', 'mei', '--why', 'x'];
    expect((await mandate(resumed)).failed).toBe(`mandate ${id} stays revoked: for good`);
  });

  test('all of a person, signed ahead for a lost phone and handed in later', async () => {
    const old = await putMandate(desk.stage.store, { epoch: 1 });
    const next = await putMandate(desk.stage.store, { epoch: 2 });
    const ahead = ['--all', '--epoch', '2', '--out', desk.at('lost.revoke'), '--yes'];
    const made = await mandate(['revoke', ...(await wallet()), ...payer(), ...ahead]);
    expect(made.failed).toBeUndefined();
    expect(desk.questions).toEqual([]);
    const value = revokeKind.decode(payloadOf(files.read(desk.at('lost.revoke'))!));
    expect(value).toMatchObject({ payer: PAYER, epoch: 2 });
    const used = await mandate(['revoke', '--use', desk.at('lost.revoke'), ...bridge()]);
    expect(used.out).toMatch(/^Payer key [0-9a-f]{8}… ends every mandate below epoch 2 of payer/);
    expect(used.out).toContain('the bridge has taken it');
    const { out } = await mandate(['list', ...bridge()]);
    expect(out).toMatch(new RegExp(`${old} +revoked`));
    expect(out).toMatch(new RegExp(`${next} +active`));
  });

  test('tells what has reached a backend and runs on', async () => {
    const id = await putMandate(desk.stage.store, {});
    desk.stage.backend.acts.push('unknown', 'unknown');
    const request = await desk.stage.request({ mandate: id, counter: 1 });
    await desk.stage.deliver('glasses', 'request', request.envelope);
    const args = ['revoke', id, ...(await wallet()), ...payer(), '--yes', ...bridge()];
    const { out, failed } = await mandate(args);
    expect(failed).toBeUndefined();
    expect(out).toContain('still running, because a backend has them already');
    expect(out.split('\n').at(-1)).toBe(`  ${request.id}`);
  });

  test("another person's mandate is not ended", async () => {
    const id = await putMandate(desk.stage.store, {});
    const args = ['revoke', id, ...(await wallet()), '--payer', 'ff'.repeat(16), '--yes'];
    const { failed } = await mandate([...args, ...bridge()]);
    expect(failed).toBe(
      'role_forbidden: the bridge did not take the revoke: the mandate, or --payer, does not ' +
        'belong to this wallet',
    );
    expect((await mandate(['show', id, ...bridge()])).out).toContain('is active');
  });

  test.each([
    [['--all'], /^--all and --epoch go together/],
    [['--epoch', '2'], /^name one mandate, or say --all/],
    [['x', '--all', '--epoch', '2'], /^name one mandate, or say --all/],
    [['x', '--epoch', '2'], /^--all and --epoch go together/],
    [['--all', '--epoch', '2', '--payer', 'ab'], /^--payer is needed: 32 hex/],
  ])('%j is refused before anything is signed', async (args, line) => {
    const has = args.includes('--payer') ? [] : payer();
    const all = ['revoke', ...args, ...(await wallet()), ...has, '--out', desk.at('r'), '--yes'];
    const { failed, exit } = await mandate(all);
    expect(failed).toMatch(line);
    expect(exit).toBe(EXITS.usage);
    expect(files.read(desk.at('r'))).toBeUndefined();
  });

  test('goes somewhere, and --use goes alone', async () => {
    const all = ['--all', '--epoch', '2', '--yes'];
    const nowhere = await mandate(['revoke', ...(await wallet()), ...payer(), ...all]);
    expect(nowhere.failed).toMatch(/^--out or --bridge is needed/);
    const mixed = await mandate(['revoke', '--use', 'r', ...all, ...bridge()]);
    expect(mixed.failed).toMatch(/^--use goes with --bridge alone/);
    expect((await mandate(['revoke', '--use', 'r'])).failed).toMatch(/^--bridge is needed/);
  });

  test('never overwrites, and a mandate is no revoke', async () => {
    await create([...TERMS, '--yes']);
    const file = desk.at('glasses.mandate');
    const all = ['revoke', '--all', '--epoch', '2', ...(await wallet()), ...payer()];
    expect((await mandate([...all, '--out', file, '--yes'])).failed).toBe(
      `${file} exists already: choose another name`,
    );
    expect((await mandate(['revoke', '--use', file, ...bridge()])).failed).toBe(
      `${file} is a mandate, not a revoke`,
    );
  });
});

test('wallet grant is a mandate create with a few fields filled in', async () => {
  await desk.keyOf('wallet');
  const args = [
    ...['grant', '--wallet', desk.at('wallet.pem'), '--to', desk.at('wallet.key'), ...SIM, '--yes'],
    ...['--funding', 'acct-1', '--currency', 'CNY', '--per-payment', '20', '--per-day', '50'],
    ...['--total', '100', '--days', '2', '--out', desk.at('g.mandate')],
  ];
  const { failed, out } = await desk.run('wallet', walletCommand, args);
  expect(failed).toBeUndefined();
  expect(out).toContain('At most 50.00 yuan and 20 times per day (UTC).');
  expect(signed('g.mandate').value).toMatchObject({
    windows: [
      { max: 100_00n, count: 40 },
      { max: 50_00n, count: 20 },
    ],
    bands: [{ ceiling: 100_00n, level: 2 }],
    exp: NOW_S + 2 * 86_400,
  });
});
