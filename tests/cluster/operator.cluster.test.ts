/** The operator against a real Kubernetes with Knative: SLUICE_TEST_KUBECONFIG says where one is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serviceName } from '../../src/core/cluster-names.js';
import { keepWarm } from '../../src/core/endpoints/replica-bounds.js';
import { deleteEndpoint, setSuspended } from '../../src/core/endpoints/store.js';
import {
  type KnativeRevision,
  type KnativeService,
  MIN_SCALE,
  POD_AUTOSCALERS,
  type PodAutoscaler,
  REVISIONS,
  SERVICES,
} from '../../src/platform/knative/objects.js';
import { PODS, type Pod } from '../../src/platform/kubernetes/objects.js';
import { eventually } from '../support/children.js';
import { NO_CLUSTER } from '../support/cluster.js';
import { bringServerImage, kubeconfigThrough, SERVER_IMAGE } from '../support/knative.js';
import { type KnativeBench, openKnativeBench } from '../support/knative-bench.js';
import { predictionOf } from '../support/predictions.js';
import { openTcpGate } from '../support/tcp-gate.js';

const LONG = 60_000;

describe.skipIf(NO_CLUSTER)('endpoints on Knative', { timeout: 120_000 }, () => {
  let bench: KnativeBench;
  let operator: { close(): Promise<void> };
  let extra: { close(): Promise<void> } | undefined;

  beforeAll(async () => {
    await bringServerImage();
    bench = await openKnativeBench('operator');
    operator = await bench.operator();
  }, 120_000);

  afterAll(async () => {
    await Promise.all([operator?.close(), extra?.close()]);
    await bench?.close();
  }, 60_000);

  const call = { method: 'POST', path: '/v2/models/model/infer', headers: {}, body: Buffer.from('{}') };
  /** The Knative Revision that answered, or the error. */
  const ask = async (name: string, number: number): Promise<string> => {
    const patient = { timeoutMs: 60_000, idempotent: true };
    const { reply } = predictionOf(bench.fleet, bench.revision(name, number), call, patient);
    const { status, body } = await reply;
    const answer = JSON.parse(body.toString('utf8'));
    return status === 200 ? answer.parameters.revision : `${status}`;
  };
  const service = (name: string) => serviceName(name, bench.route(name).id);
  const readService = (name: string) => bench.namespace.api.get<KnativeService>(SERVICES, service(name));
  const readRevision = (name: string, number: number) =>
    bench.namespace.api.get<KnativeRevision>(REVISIONS, `${service(name)}-r${number}`);
  const shares = async (name: string) =>
    ((await readService(name))?.spec.traffic ?? [])
      .map(({ revisionName, percent, tag }) => `${revisionName?.split('-').pop()} ${tag ? `#${tag}` : percent}`)
      .sort();
  const addressed = (name: string, number: number) =>
    eventually(() => bench.revision(name, number).address !== undefined, LONG).catch(async (error) => {
      const { id } = bench.route(name);
      const said = bench.db.selectFrom('revision_status').selectAll().where('endpoint_id', '=', id);
      const rows = (await said.execute()).map((row) => `r${row.revision}: ${row.message}`);
      throw new Error(`${error.message}: ${rows.join('; ')}; ${(await shares(name)).join(', ')}`);
    });
  const problem = async (name: string, number: number, words: RegExp) => {
    await eventually(() => words.test(bench.revision(name, number).problem ?? ''), LONG).catch((error) => {
      throw new Error(`${error.message}: ${bench.revision(name, number).problem}`);
    });
  };

  it('answer from the first request on, and each revision by itself whatever its share', async () => {
    await bench.endpoint('digits');
    expect(await ask('digits', 1)).toBe(`${service('digits')}-r1`);
    expect(await bench.revise('digits')).toBe(2);
    await bench.traffic('digits', { revision: 1, percent: 90.4, tag: 'stable' }, { revision: 2, percent: 9.6 });
    expect(await ask('digits', 2)).toBe(`${service('digits')}-r2`);
    await eventually(async () => (await shares('digits')).includes('r2 10'), LONG);
    expect(await shares('digits')).toEqual(['r1 #r1', 'r1 #stable', 'r1 90', 'r2 #r2', 'r2 10']);
    expect(await ask('digits', 1)).toBe(`${service('digits')}-r1`);
  });

  it('have the least replicas that Sluice says, while they live', async () => {
    const scale = async () => {
      const name = `${service('digits')}-r2`;
      const scaler = await bench.namespace.api.get<PodAutoscaler>(POD_AUTOSCALERS, name);
      return scaler?.metadata.annotations?.[MIN_SCALE] ?? '0';
    };
    expect(await scale()).toBe('0');
    const { id } = bench.route('digits');
    await keepWarm(bench.db, id, 2, new Date(Date.now() + 600_000));
    await eventually(async () => (await scale()) === '1', LONG);
    const status = async () =>
      (await bench.db.selectFrom('revision_status').selectAll().where('revision', '=', 2).execute())[0];
    await eventually(async () => (await status())?.ready === 1, LONG);
    await keepWarm(bench.db, id, 2, null);
    await eventually(async () => (await scale()) === '0', LONG);
  });

  it('are made whole again after a hand changed the traffic, the template or the labels, or deleted them', async () => {
    const { api } = bench.namespace;
    const name = service('digits');
    const before = await shares('digits');
    const whole = async () => (await shares('digits')).join() === before.join();
    await api.patch(SERVICES, name, { spec: { traffic: [{ latestRevision: true, percent: 100 }] } });
    await eventually(whole, LONG);
    const template = {
      metadata: { name: `${name}-mine` },
      spec: { timeoutSeconds: 7, responseStartTimeoutSeconds: 7 },
    };
    await api.patch(SERVICES, name, { spec: { template } });
    const template2 = async () => (await readService('digits'))?.spec.template.metadata.name;
    await eventually(async () => (await template2()) === `${name}-r2`, LONG);
    await api.patch(SERVICES, name, { metadata: { labels: { 'app.kubernetes.io/managed-by': null } } });
    await eventually(
      async () => (await readService('digits'))?.metadata.labels?.['app.kubernetes.io/managed-by'] === 'sluice',
      LONG,
    );
    const uid = (await readService('digits'))?.metadata.uid;
    await api.delete(SERVICES, name);
    await eventually(async () => ![undefined, uid].includes((await readService('digits'))?.metadata.uid), LONG);
    await eventually(whole, LONG);
    expect(await ask('digits', 1)).toBe(`${name}-r1`);
    expect(await ask('digits', 2)).toBe(`${name}-r2`);
  });

  it('say in words why a revision does not start', async () => {
    await bench.endpoint('broken');
    await bench.revise('broken', { env: { FAIL: 'the weights are of another model' } });
    await bench.revise('broken', { image: 'dev.local/there-is-none:1' });
    await bench.revise('broken', { command: ['serve'], image: undefined });
    const { db } = bench;
    const placement = (value: object) =>
      db
        .updateTable('endpoints')
        .set({ placement: JSON.stringify(value) })
        .where('name', '=', 'broken')
        .execute();
    await placement({ cpus: 0.05, memoryMb: 64 });
    await bench.revise('broken', { env: { EAT_MB: '256' } });
    await placement({ cpus: 500, memoryMb: 64 });
    await bench.revise('broken');
    await placement({ cpus: 0.05, memoryMb: 64, nodeSelector: { disk: 'ssd' } });
    await bench.revise('broken');
    await problem('broken', 2, /keeps ending: exit code 3: .*the weights are of another model|exit code 3/);
    await problem('broken', 3, /there-is-none:1 cannot be pulled/);
    await problem('broken', 4, /is a command \(serve\), which a cluster cannot run/);
    await problem('broken', 5, /out of memory \(its limit is 64Mi\)/);
    await problem('broken', 6, /no node can take it: .*Insufficient cpu/);
    await problem('broken', 7, /refused .*must not set the field\(s\): .*nodeSelector/);
    // and what works is not held up by them
    expect(await ask('broken', 1)).toBe(`${service('broken')}-r1`);
    // what no node can take may yet find one
    const failing = async () => {
      const rows = await db.selectFrom('revision_status').selectAll().where('revision', '>=', 2).execute();
      return rows.filter((row) => row.failing && row.message !== '').map(({ revision }) => revision);
    };
    await eventually(async () => {
      const now = await failing();
      return [3, 4, 7].every((number) => now.includes(number));
    }, LONG);
    expect(await failing()).not.toContain(6);
  });

  it('leave alone what Sluice did not make', async () => {
    const { api } = bench.namespace;
    await operator.close();
    await bench.endpoint('taken');
    const foreign = { spec: { template: { spec: { containers: [{ image: SERVER_IMAGE }] } } } };
    const name = service('taken');
    await api.create(SERVICES, { metadata: { name }, ...foreign });
    await api.create(SERVICES, { metadata: { name: 'somebodys' }, ...foreign });
    const labels = { 'app.kubernetes.io/managed-by': 'sluice', 'sluice.dev/endpoint-id': 'ep_of_another_installation' };
    await api.create(SERVICES, { metadata: { name: 'anothers', labels }, ...foreign });
    operator = await bench.operator();
    await problem('taken', 1, /that Sluice did not make; it is left alone/);
    await deleteEndpoint(bench.db, 'default', 'taken', 'test');
    await new Promise((resolve) => setTimeout(resolve, 6000));
    for (const one of [name, 'somebodys', 'anothers']) expect(await api.get(SERVICES, one)).toBeDefined();
    for (const one of [name, 'somebodys', 'anothers']) await api.delete(SERVICES, one);
  });

  it('go with their endpoint, suspended or deleted, and come back', async () => {
    const { id } = bench.route('digits');
    await bench.db.transaction().execute((tx) => setSuspended(tx, id, true));
    await eventually(async () => (await readService('digits')) === undefined, LONG);
    await eventually(() => bench.revision('digits', 1).address === undefined, LONG);
    await bench.db.transaction().execute((tx) => setSuspended(tx, id, false));
    await addressed('digits', 1);
    expect(await ask('digits', 1)).toBe(`${service('digits')}-r1`);
    const name = service('broken');
    await deleteEndpoint(bench.db, 'default', 'broken', 'test');
    await eventually(async () => (await bench.namespace.api.get(SERVICES, name)) === undefined, LONG);
    const pods = async () =>
      (await bench.namespace.api.list<Pod>(PODS, { labelSelector: 'sluice.dev/endpoint=broken' })).items;
    await eventually(
      async () => (await pods()).every(({ metadata }) => metadata.deletionTimestamp !== undefined),
      LONG,
    );
  });

  it('go on while the API server is away, and are what they should be when it is back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-kubeconfig-'));
    const { hostname, port } = new URL(bench.namespace.access.server);
    const gate = await openTcpGate(hostname, Number(port));
    try {
      await operator.close();
      operator = await bench.operator({ KUBECONFIG: kubeconfigThrough(gate.port, bench.namespace, folder) });
      await bench.endpoint('away');
      await addressed('away', 1);
      gate.shut();
      await bench.revise('away');
      await problem('away', 2, /the Kubernetes API does not answer/);
      expect(bench.revision('away', 1).address).toBeDefined();
      expect(bench.revision('away', 1).problem).toBeUndefined();
      expect(await ask('away', 1)).toBe(`${service('away')}-r1`);
      // while nobody looks
      await bench.namespace.api.patch(SERVICES, service('away'), {
        spec: { traffic: [{ latestRevision: true, percent: 100 }] },
      });
      gate.open();
      await addressed('away', 2);
      expect(await ask('away', 2)).toBe(`${service('away')}-r2`);
      await eventually(async () => (await shares('away')).join() === 'r1 #r1,r1 100,r2 #r2', LONG);
    } finally {
      gate.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('keep only so many revisions, and those that are asked for', async () => {
    await operator.close();
    operator = await bench.operator({ SLUICE_KNATIVE_KEEP_REVISIONS: '1' });
    await bench.revise('away');
    await addressed('away', 3);
    await eventually(async () => (await readRevision('away', 2)) === undefined, LONG);
    await eventually(() => bench.revision('away', 2).address === undefined, LONG);
    expect(await shares('away')).toEqual(['r1 #r1', 'r1 100', 'r3 #r3']);
    expect(await ask('away', 1)).toBe(`${service('away')}-r1`);
  });

  it('are led by one worker, and by another at once when that one goes', async () => {
    const second = await bench.operator();
    extra = second;
    const reporters = async () =>
      new Set((await bench.db.selectFrom('revision_status').select('gateway').execute()).map(({ gateway }) => gateway));
    await bench.revise('away');
    await addressed('away', 4);
    expect((await reporters()).size).toBe(1);
    const [before] = await reporters();
    await operator.close();
    operator = second;
    await bench.revise('away');
    await addressed('away', 5);
    expect((await reporters()).has(before ?? '')).toBe(false);
  });
});
