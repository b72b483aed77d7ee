/** The operator against a real Kubernetes with Knative: SLUICE_TEST_KUBECONFIG says where one is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/children.js';
import { bringServerImage, NO_CLUSTER } from '../support/knative.js';
import { type KnativeBench, openKnativeBench } from '../support/knative-bench.js';
import { predictionOf } from '../support/predictions.js';

describe.skipIf(NO_CLUSTER)('endpoints on Knative', { timeout: 120_000 }, () => {
  let bench: KnativeBench;
  let operator: { close(): Promise<void> };

  beforeAll(async () => {
    await bringServerImage();
    bench = await openKnativeBench('operator');
    operator = await bench.operator();
  }, 120_000);

  afterAll(async () => {
    await operator?.close();
    await bench?.close();
  }, 60_000);

  const call = { method: 'POST', path: '/v2/models/model/infer', headers: {}, body: Buffer.from('{}') };
  const ask = async (name: string, number: number) => {
    const patient = { timeoutMs: 60_000, idempotent: true };
    const { reply } = predictionOf(bench.fleet, bench.revision(name, number), call, patient);
    const { status, body } = await reply;
    return { status, body: JSON.parse(body.toString('utf8')) };
  };

  it('answers from the first request on', async () => {
    await bench.endpoint('first');
    const { status, body } = await ask('first', 1);
    expect(status).toBe(200);
    expect(body.parameters.revision).toMatch(/^first-.{8}-r1$/);
    await eventually(() => bench.revision('first', 1).address !== undefined, 20_000);
  });
});
