/**
 * What no bridge can do without: an ES256 request by MQTT, verified and decoded, a signed receipt
 * back, and (unless told otherwise) two durable commits between. Nothing is judged and no money
 * moved. Through a broker elsewhere it is the floor that the bridge is compared with; with its own
 * broker over TLS it is our side of the comparison with HTTPS.
 */
import { connectLink } from '../../src/node/link.ts';
import { clock } from '../../src/node/platform.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { nodeSigner, readPrivatePem, readPublicPem } from '../../src/signer.ts';
import { UP_FILTER, downTopic, parseTopic } from '../../src/topics.ts';
import { serveMeasured } from '../child.ts';
import type { Certificate } from '../certificate.ts';
import { REALM } from '../plant.ts';
import { openDesk } from './desk.ts';
import { startTlsBroker } from './tlsbroker.ts';

export type EdgeOptions = Readonly<{
  /** A broker elsewhere, or the certificate of a broker of its own. */
  broker: Readonly<{ url: string; password: string }> | Certificate;
  store: string | undefined;
  bridgeKey: string;
  /** Name and public key of every device. */
  devices: readonly (readonly [string, string])[];
}>;

serveMeasured<EdgeOptions, { url: string }>(async (options) => {
  const keys = new Map(options.devices.map(([name, pem]) => [name, readPublicPem(pem)]));
  const signer = nodeSigner(readPrivatePem(options.bridgeKey));
  const desk = openDesk(options.store);
  const own = 'cert' in options.broker ? await startTlsBroker(options.broker) : undefined;
  const broker = 'url' in options.broker ? { ...options.broker, inside: options.broker.url } : own!;

  async function pay(topic: string, envelope: Uint8Array): Promise<void> {
    const { device } = parseTopic(topic)!;
    const { id, value } = open(requestKind, envelope, REALM, () => keys.get(device));
    await desk.take(id, device, value.counter, envelope);
    const receipt = await seal(
      receiptKind,
      {
        iat: Math.floor(clock.nowMs() / 1000),
        subject: id,
        outcome: 'captured',
        ...(value.amount && { amount: value.amount }),
        reference: 'floor',
      },
      REALM,
      signer,
    );
    await desk.answered(id, receipt);
    link.publish(downTopic(device, 'receipt'), receipt, 1);
  }

  let isReady = (): void => {};
  const up = new Promise<void>((resolve) => (isReady = resolve));
  const link = connectLink(
    {
      url: broker.inside,
      clientId: 'bridge',
      password: broker.password,
      subscriptions: [{ topic: UP_FILTER, qos: 1 }],
    },
    {
      message: (topic, envelope) => void pay(topic, envelope),
      state: (state) => state === 'up' && isReady(),
    },
  );
  await up;
  return {
    said: { url: broker.url },
    async stop() {
      await link.close();
      await own?.close();
      desk.close();
    },
  };
});
