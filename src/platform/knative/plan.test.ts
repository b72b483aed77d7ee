import { describe, expect, it } from 'vitest';
import {
  endpointRoute,
  PaperCluster,
  revisionRoute,
  SERVICE,
  SETTINGS,
} from '../../../tests/support/knative-objects.js';
import { scalingSchema } from '../../core/endpoints/endpoint.js';
import { templateOf, unfit } from './template.js';

const three = [1, 2, 3].map((number) => revisionRoute(number));
const served = endpointRoute(three, [
  [2, 90, 'stable'],
  [3, 10],
]);

describe('a plan', () => {
  it('makes one revision after the other, those with traffic first, then the traffic, and rests', () => {
    const cluster = new PaperCluster();
    const made: (number | undefined)[] = [];
    for (let plan = cluster.plan(served); plan.apply; plan = cluster.plan(served)) {
      made.push(plan.apply.creates);
      cluster.take(plan);
    }
    expect(made).toEqual([2, 3, 1, undefined]);
    expect(cluster.traffic).toEqual(['r2 90', 'r3 10', 'r1 #r1', 'r2 #r2', 'r2 #stable', 'r3 #r3']);
    expect(cluster.settle(served)).toBe(0);
  });

  it('keeps a revision without a tag until it is ready, and one that was from blocking the others', () => {
    const cluster = new PaperCluster();
    cluster.settle(served);
    cluster.ready(`${SERVICE}-r1`, 'False');
    expect(cluster.plan(served).apply).toBeUndefined();
    cluster.settle(endpointRoute(three, [[3, 100]]));
    expect(cluster.traffic).toEqual(['r3 100', 'r2 #r2', 'r3 #r3']);
  });

  it('goes on without a revision that is refused', () => {
    const cluster = new PaperCluster();
    cluster.settle(served, SETTINGS, 0, [3]);
    expect(cluster.traffic).toEqual(['r2 100', 'r1 #r1', 'r2 #r2', 'r2 #stable']);
  });

  it('removes revisions that are nobody’s, and never one that is named or the template', () => {
    const cluster = new PaperCluster();
    cluster.settle(served);
    const few = { ...SETTINGS, keepRevisions: 1 };
    cluster.settle(endpointRoute(three, [[3, 100]]), few);
    expect([...cluster.revisions.keys()]).toEqual([`${SERVICE}-r3`]);
    expect(cluster.service?.spec.template.metadata.name).toBe(`${SERVICE}-r3`);
    const warm = endpointRoute([revisionRoute(1, { warmUntilMs: 1000 }), ...three.slice(1)], [[3, 100]]);
    cluster.settle(warm, few, 500);
    expect([...cluster.revisions.keys()].sort()).toEqual([`${SERVICE}-r1`, `${SERVICE}-r3`]);
    cluster.settle(warm, few, 1500);
    expect([...cluster.revisions.keys()]).toEqual([`${SERVICE}-r3`]);
  });

  it('moves the floor on what scales a revision, and leaves the revision as it is', () => {
    const cluster = new PaperCluster();
    const scaling = scalingSchema.parse({ minReplicas: 2, maxReplicas: 4 });
    const revisions = [revisionRoute(1, { scaling }), revisionRoute(2, { scaling, warmUntilMs: 1000 })];
    const floor = (number: number) =>
      cluster.scalers.get(`${SERVICE}-r${number}`)?.metadata.annotations?.['autoscaling.knative.dev/min-scale'];
    const revised = (number: number) => cluster.revisions.get(`${SERVICE}-r${number}`)?.metadata.annotations;
    cluster.settle(endpointRoute(revisions, [[1, 100]]), SETTINGS, 0);
    expect([floor(1), floor(2)]).toEqual(['2', '1']);
    expect(revised(1)).not.toHaveProperty(['autoscaling.knative.dev/min-scale']);
    cluster.settle(endpointRoute(revisions, [[2, 100]]), SETTINGS, 2000);
    expect([floor(1), floor(2)]).toEqual(['0', '2']);
  });

  it('puts a template right that a hand has changed, as its revision is', () => {
    const cluster = new PaperCluster();
    cluster.settle(served);
    const service = cluster.service;
    if (!service) throw new Error('no service');
    cluster.service = { ...service, spec: { ...service.spec, template: { metadata: { name: 'mine' }, spec: {} } } };
    // another image meanwhile does not change what is there
    cluster.settle(served, { ...SETTINGS, runtimeImage: 'example/runtime:2' });
    expect(cluster.service?.spec.template.metadata.name).toBe(`${SERVICE}-r3`);
    expect(cluster.service?.spec.template.spec).toMatchObject({ containers: [{ image: 'example/runtime:1' }] });
  });

  it('takes away what a deleted Service left, before it is made again', () => {
    const cluster = new PaperCluster();
    cluster.settle(served);
    cluster.service = undefined;
    expect(cluster.plan(served)).toMatchObject({ removeRevisions: [{}, {}, {}] });
    expect(cluster.plan(served).apply).toBeUndefined();
    cluster.settle(served);
    expect(cluster.traffic[0]).toBe('r2 90');
  });

  it('removes the Service of an endpoint that is suspended, deleted, or runs elsewhere', () => {
    const url = { url: 'http://x', env: {}, readyPath: '/', startTimeoutSec: 1, protocols: ['v2' as const] };
    const elsewhere = endpointRoute([revisionRoute(1, { server: url })], [[1, 100]]);
    for (const after of [undefined, { ...served, suspended: true }, elsewhere]) {
      const cluster = new PaperCluster();
      cluster.settle(served);
      cluster.settle(after);
      expect(cluster.service).toBeUndefined();
    }
    expect(new PaperCluster().plan(elsewhere)).toMatchObject({ removeRevisions: [], floors: [] });
  });

  it('hides from the outside what asks for a key, unless gateways come from there', () => {
    const visibility = (endpoint: typeof served, settings = SETTINGS) =>
      new PaperCluster().plan(endpoint, settings).apply?.service.metadata.labels?.['networking.knative.dev/visibility'];
    expect(visibility(served)).toBe('cluster-local');
    expect(visibility({ ...served, access: 'public' })).toBeUndefined();
    expect(visibility(served, { ...SETTINGS, ingressUrl: 'http://ingress' })).toBeUndefined();
  });
});

describe('a template', () => {
  const owner = { id: 'ep_12345678', name: 'digits', project: 'default' };

  it('says what Knative is to do', () => {
    const scaling = scalingSchema.parse({
      minReplicas: 1,
      maxReplicas: 5,
      concurrency: 8,
      targetUtilization: 0.555,
      stableWindowSec: 30,
      scaleDownDelaySec: 10,
      scaleToZeroGraceSec: 12.4,
    });
    const placement = {
      cpus: 0.25,
      memoryMb: 512,
      gpus: 2,
      nodeSelector: { pool: 'gpu' },
      tolerations: [{ key: 'gpu', operator: 'Exists' as const }],
      image: 'example/cuda:1',
    };
    const made = templateOf(owner, revisionRoute(7, { scaling, placement }), SETTINGS);
    expect(made.metadata).toEqual({
      name: `${SERVICE}-r7`,
      labels: {
        'app.kubernetes.io/managed-by': 'sluice',
        'sluice.dev/project': 'default',
        'sluice.dev/endpoint': 'digits',
        'sluice.dev/endpoint-id': 'ep_12345678',
        'sluice.dev/revision': '7',
      },
      annotations: {
        'autoscaling.knative.dev/max-scale': '5',
        'autoscaling.knative.dev/initial-scale': '1',
        'autoscaling.knative.dev/window': '30s',
        'autoscaling.knative.dev/target-utilization-percentage': '56',
        'autoscaling.knative.dev/scale-down-delay': '10s',
        'autoscaling.knative.dev/scale-to-zero-pod-retention-period': '12s',
        'serving.knative.dev/no-gc': 'true',
      },
    });
    const limits = { memory: '512Mi', 'nvidia.com/gpu': '2' };
    expect(made.spec).toMatchObject({
      containerConcurrency: 8,
      timeoutSeconds: 30,
      serviceAccountName: 'sluice-runtime',
      automountServiceAccountToken: false,
      nodeSelector: { pool: 'gpu' },
      tolerations: [{ key: 'gpu', operator: 'Exists' }],
      containers: [
        {
          image: 'example/cuda:1',
          env: [{ name: 'SLUICE_PODS_URL', value: 'http://gateway' }],
          resources: { requests: { cpu: '250m', ...limits }, limits },
          securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
        },
      ],
    });
  });

  it('gives somebody else’s server its port, its environment and no token', () => {
    const server = {
      image: 'example/server:1',
      port: 9000,
      env: { A: '1', PORT: '1' },
      readyPath: '/healthz',
      startTimeoutSec: 90,
      protocols: ['openai' as const],
    };
    const made = templateOf(owner, revisionRoute(1, { server }), SETTINGS);
    expect(made.metadata.annotations?.['serving.knative.dev/progress-deadline']).toBe('90s');
    expect(made.spec).toMatchObject({
      containers: [
        {
          image: 'example/server:1',
          ports: [{ containerPort: 9000 }],
          env: [{ name: 'A', value: '1' }],
          readinessProbe: { httpGet: { path: '/healthz' } },
        },
      ],
    });
    expect(JSON.stringify(made.spec)).not.toContain('token"');
  });

  it('is none for a command', () => {
    const server = { command: ['serve'], env: {}, readyPath: '/', startTimeoutSec: 1, protocols: ['v2' as const] };
    expect(unfit(revisionRoute(1, { server }))).toMatch(/a command \(serve\), which a cluster cannot run/);
    expect(unfit(revisionRoute(1))).toBeUndefined();
  });
});
