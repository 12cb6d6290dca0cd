/**
 * What one would build without this project: HTTPS, JSON in a compact JWS (ES256), zod for the
 * fields, fastify around it, and the same two durable commits.
 */
import fastify from 'fastify';
import { CompactSign, compactVerify, importPKCS8, importSPKI } from 'jose';
import * as z from 'zod';
import { clock } from '../../src/node/platform.ts';
import { serveMeasured } from '../child.ts';
import type { Certificate } from '../certificate.ts';
import { openDesk } from './desk.ts';

export type RestOptions = Readonly<{
  certificate: Certificate;
  store: string | undefined;
  serverKey: string;
  devices: readonly (readonly [string, string])[];
}>;

const PAYMENT = z.strictObject({
  id: z.string().length(32),
  exp: z.int(),
  action: z.enum(['pay']),
  mandate: z.string().length(32),
  counter: z.int().min(1),
  amount: z.strictObject({ currency: z.string().length(3), minor: z.int().min(0) }),
  payee: z.string().max(64),
  terminal: z.string().max(64).optional(),
  presence: z.int().min(0).max(4),
  channel: z.enum(['voice', 'tap', 'look', 'touch', 'autonomous']),
  nonce: z.string().length(16),
});

serveMeasured<RestOptions, { port: number }>(async (options) => {
  const keys = new Map(
    await Promise.all(
      options.devices.map(async ([name, pem]) => [name, await importSPKI(pem, 'ES256')] as const),
    ),
  );
  const serverKey = await importPKCS8(options.serverKey, 'ES256');
  const desk = openDesk(options.store);
  const header = { alg: 'ES256', kid: '0123456789abcdef' };
  const encoder = new TextEncoder();

  const app = fastify({ https: { ...options.certificate, minVersion: 'TLSv1.3' }, logger: false });
  app.addContentTypeParser('application/jose', { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  );
  app.post<{ Body: string; Params: { device: string } }>(
    '/v1/devices/:device/payments',
    async (request, reply) => {
      const { device } = request.params;
      const verified = await compactVerify(request.body, keys.get(device)!, {
        algorithms: ['ES256'],
      });
      const payment = PAYMENT.parse(JSON.parse(new TextDecoder().decode(verified.payload)));
      await desk.take(payment.id, device, payment.counter, encoder.encode(request.body));
      const receipt = {
        iat: Math.floor(clock.nowMs() / 1000),
        subject: payment.id,
        outcome: 'captured',
        amount: payment.amount,
        reference: 'floor',
      };
      const answer = await new CompactSign(encoder.encode(JSON.stringify(receipt)))
        .setProtectedHeader(header)
        .sign(serverKey);
      await desk.answered(payment.id, encoder.encode(answer));
      return reply.type('application/jose').send(answer);
    },
  );
  await app.listen({ port: 0, host: '127.0.0.1' });
  return {
    said: { port: (app.server.address() as { port: number }).port },
    async stop() {
      app.server.closeAllConnections();
      await app.close();
      desk.close();
    },
  };
});
