/**
 * Two screens that end in a signature: pairing the wearer's own device together with its first
 * limits, and new limits for a device that is paired.
 *
 * The mandate goes up before the approval, so that the answer to the device already holds it.
 */
import { toBase64url } from '../../../src/bytes.ts';
import type { Signer } from '../../../src/cose.ts';
import { signMandate } from '../../../src/wallet.ts';
import type { Frame } from '../frame.ts';
import { button, card, el, field, show } from '../../../src/screen.ts';
import { type LimitsForm, limitsForm } from './form.ts';
import type { Standing } from './home.ts';

/** A device that waits to be paired, as the bridge tells it. */
export type Waiting = Readonly<{
  /** The short code, as on its screen. */
  code: string;
  /** Hex of the thumbprint. */
  key: string;
  role: 'bridge' | 'terminal' | 'device' | 'wallet' | 'agent';
  device: string;
  hasPairing: boolean;
  state: 'open' | 'unsigned' | 'refused' | 'enrolled';
}>;

/** A scan proves by the device's secret code that the person stood before it. */
export function isScanned(named: string): boolean {
  return named.length === 64;
}

/** Shows who asks; ends with `back`, whatever was decided. */
export async function pairing(
  frame: Frame,
  standing: Standing,
  wallet: Signer,
  named: string,
  back: () => void,
): Promise<void> {
  const { words, main } = frame;
  const waiting = await frame.ask<Waiting>('waiting', { named });
  if (!waiting) return back();
  const isDevice = waiting.role === 'device';
  const form = limitsForm(frame, aroundOf(frame, standing, waiting.key), standing.sellers);
  const name = el('input', {
    id: 'name',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 64,
    value: waiting.device,
  });

  async function approve(): Promise<void> {
    if (!(await sign(frame, standing, wallet, form))) return;
    const device = name.value.trim();
    const done = await frame.ask<Waiting>('approve', { named, said: { device } });
    if (!done) return;
    frame.tell(done.state === 'enrolled' ? words.paired(device) : words.approvedWaits);
    back();
  }

  async function refuse(): Promise<void> {
    if (await frame.ask('refuse', { named })) frame.tell(words.refusedDevice);
    back();
  }

  show(
    main,
    el('h1', {}, words.isItYours),
    card(
      words.asksAs(words.roles[waiting.role], waiting.device),
      el('output', { class: 'code', id: 'code' }, waiting.code),
      el('p', {}, words.compare),
      isScanned(named) && el('p', { class: 'quiet' }, words.byScan),
      !isDevice && el('p', { class: 'fault' }, words.onlyDevices),
      isDevice && field(words.deviceName, name, words.deviceNameHelp),
    ),
    isDevice && card(words.whatMayIt, form.element),
    isDevice && button(words.signAndPair, approve, { kind: 'main', id: 'approve' }),
    el(
      'p',
      { class: 'row' },
      button(words.back, back),
      isDevice && button(words.refuse, refuse, { kind: 'grave', id: 'refuse' }),
    ),
  );
}

/** New limits for a device that is paired; ends with `back`. */
export function newLimits(
  frame: Frame,
  standing: Standing,
  wallet: Signer,
  key: Readonly<{ name: string; device: string }>,
  back: () => void,
): void {
  const { words, main } = frame;
  const form = limitsForm(frame, aroundOf(frame, standing, key.name), standing.sellers);
  show(
    main,
    el('h1', {}, words.limitsOf(key.device)),
    card(words.whatMayIt, form.element),
    button(
      words.sign,
      async () => {
        if (!(await sign(frame, standing, wallet, form))) return;
        frame.tell(words.granted);
        back();
      },
      { kind: 'main', id: 'sign' },
    ),
    el('p', {}, button(words.back, back)),
  );
}

function aroundOf({ world }: Frame, standing: Standing, cnf: string) {
  const { funding, currency, epoch, nowS } = standing;
  return { cnf, funding, currency, epoch, zone: world.zone, nowS };
}

/** Signs what the form shows and hands it in; tells a refusal. */
async function sign(
  frame: Frame,
  { realm }: Standing,
  wallet: Signer,
  form: LimitsForm,
): Promise<boolean> {
  const shown = form.shown();
  if (!shown) return false;
  const { envelope } = await signMandate(shown.grant, shown.text, realm, wallet);
  const asked = { envelope: toBase64url(envelope), text: shown.text };
  return (await frame.ask('grant', asked)) !== undefined;
}
