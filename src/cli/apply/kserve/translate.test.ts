/** Documents in the style of KServe's documentation, and what they become. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Foreign, foreignKindOf, translate } from './translate.js';

function read(text: string) {
  const document = parse(text) as Record<string, unknown>;
  const found = foreignKindOf(document.apiVersion, document.kind);
  if (!found) throw new Error('not a foreign document');
  const { made, findings } = translate(found, document);
  const of = (level: string) => findings.filter((one) => one.level === level).map((one) => one.message);
  return { plan: (made as Foreign | undefined)?.plan, warnings: of('warning'), errors: of('error') };
}

const HEAD = 'apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: { name: m }\n';
const ONNX = 'model: { modelFormat: { name: onnx }, storageUri: ./m.onnx }';
const service = (predictor: string) => read(`${HEAD}spec:\n  predictor: { ${predictor} }\n`);

describe('an InferenceService', () => {
  it.each([
    [
      'onnx with nothing else keeps one replica, as KServe does',
      `${HEAD}spec: { predictor: { ${ONNX} } }`,
      {
        source: { storageUri: './m.onnx', format: 'onnx' },
        endpoint: { scaling: { minReplicas: 1, maxReplicas: 2 } },
        canaryPercent: undefined,
        tagRouting: false,
      },
      [],
    ],
    [
      'sklearn from a bucket',
      `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: { name: sklearn-iris, namespace: kserve-test }
spec:
  predictor:
    serviceAccountName: sa
    model:
      modelFormat: { name: sklearn, version: "1" }
      protocolVersion: v2
      runtime: kserve-sklearnserver
      storageUri: s3://examples/models/sklearn/1.0/model
      args: ["--workers=2"]
      resources: { requests: { cpu: 100m, memory: 512Mi }, limits: { cpu: "1", memory: 1Gi } }
`,
      {
        source: { storageUri: 's3://examples/models/sklearn/1.0/model', format: 'sklearn' },
        endpoint: {
          scaling: { minReplicas: 1, maxReplicas: 2 },
          runtime: { options: { workers: 2 } },
          placement: { cpus: 0.1, memoryMb: 1024 },
        },
      },
      [
        'metadata.namespace is "kserve-test": endpoints are in the project',
        'spec.predictor.serviceAccountName is "sa": model servers run with an account without rights',
        'spec.predictor.model.modelFormat.version is "1": ',
        'spec.predictor.model.runtime is "kserve-sklearnserver": served by',
        'spec.predictor.model.resources.limits: processors are what is requested, 0.1,',
        'spec.predictor.model.resources.requests: memory is the limit, 1024 MiB',
      ],
    ],
    [
      'the older form of xgboost, with V2 and threads',
      `${HEAD}spec:
  predictor:
    xgboost:
      protocolVersion: v2
      storageUri: https://example.org/iris/model.bst
      env: [{ name: OMP_NUM_THREADS, value: "4" }]
`,
      {
        source: { storageUri: 'https://example.org/iris/model.bst', format: 'xgboost' },
        endpoint: { scaling: { threads: 4 } },
      },
      [],
    ],
    [
      'tensorflow flowers with a canary that has a URL of its own',
      `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: flower-sample
  annotations: { serving.kserve.io/enable-tag-routing: "true", serving.kserve.io/deploymentMode: Serverless }
spec:
  predictor:
    canaryTrafficPercent: 20
    tensorflow: { storageUri: "file:///models/flowers-2" }
`,
      {
        source: { storageUri: 'file:///models/flowers-2', format: 'tensorflow' },
        canaryPercent: 20,
        tagRouting: true,
      },
      [],
    ],
    [
      'a container of somebody’s own',
      `${HEAD}spec:
  predictor:
    containers:
      - name: kserve-container
        image: registry.example.org/custom:1
        env: [{ name: PROTOCOL, value: v2 }, { name: A, value: 1 }]
        ports: [{ containerPort: 9000, protocol: TCP }]
        readinessProbe: { httpGet: { path: /ready, port: 9000 }, periodSeconds: 5 }
        resources: { limits: { nvidia.com/gpu: 1 } }
    nodeSelector: { pool: gpu }
    tolerations: [{ key: nvidia.com/gpu, operator: Exists, effect: NoSchedule }]
`,
      {
        source: {
          server: {
            image: 'registry.example.org/custom:1',
            port: 9000,
            env: { PROTOCOL: 'v2', A: '1' },
            readyPath: '/ready',
            protocols: ['v2'],
          },
        },
        endpoint: {
          placement: {
            gpus: 1,
            nodeSelector: { pool: 'gpu' },
            tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
          },
        },
      },
      [],
    ],
    [
      'logger and batcher',
      `${HEAD}spec:
  predictor:
    logger: { mode: request, url: "http://sink.default.svc.cluster.local", metadataHeaders: [X-User] }
    batcher: { maxBatchSize: 16, maxLatency: 200, timeout: 60 }
    timeout: 90
    lightgbm: { storageUri: ./model.bst }
`,
      {
        source: { format: 'lightgbm' },
        endpoint: {
          scaling: { queueTimeoutSec: 90 },
          runtime: { batching: { maxRows: 16, delayMs: 200 }, options: { timeoutMs: 90_000 } },
          payloadLog: {
            mode: 'request',
            metadataHeaders: ['X-User'],
            sink: { kind: 'http', url: 'http://sink.default.svc.cluster.local' },
          },
        },
      },
      ['spec.predictor.batcher.timeout is 60: '],
    ],
    [
      'what kubectl and a cluster wrote into it is no wish of anybody',
      `apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: m
  namespace: default
  uid: 1
  resourceVersion: "4"
  creationTimestamp: null
  annotations: { kubectl.kubernetes.io/last-applied-configuration: "{}" }
spec: { predictor: { ${ONNX} } }
status: { url: x }
`,
      { source: { format: 'onnx' } },
      [],
    ],
  ])('%s', (_name, text, plan, warnings) => {
    const found = read(text);
    expect(found.errors).toEqual([]);
    expect(found.plan).toMatchObject(plan);
    expect(found.warnings).toHaveLength(warnings.length);
    for (const warning of warnings) expect(found.warnings.join('\n')).toContain(warning);
  });

  it.each([
    ['minReplicas: 0, maxReplicas: 5', {}, { minReplicas: 0, maxReplicas: 5 }, 0],
    ['minReplicas: 3', {}, { minReplicas: 3, maxReplicas: 3 }, 0],
    ['maxReplicas: 0', {}, { minReplicas: 1, maxReplicas: 2 }, 1],
    // Knative aims at 70 % of the target: 7 requests
    ['containerConcurrency: 20, scaleTarget: 10', {}, { concurrency: 20, targetUtilization: 0.35 }, 0],
    ['scaleTarget: 10, scaleMetric: concurrency', {}, { concurrency: 64, targetUtilization: 0.1094 }, 0],
    ['scaleTarget: 1', {}, { concurrency: 14, targetUtilization: 0.05 }, 0],
    ['scaleTarget: 200', {}, { concurrency: 200, targetUtilization: 0.7 }, 0],
    ['containerConcurrency: 0', {}, { minReplicas: 1 }, 1],
    ['scaleMetric: rps, scaleTarget: 50', {}, { minReplicas: 1 }, 2],
    ['', { target: '5', 'target-utilization-percentage': '100' }, { concurrency: 64, targetUtilization: 0.0781 }, 0],
    ['', { minScale: '0', maxScale: '7', class: 'kpa.autoscaling.knative.dev' }, { minReplicas: 0, maxReplicas: 7 }, 0],
    ['minReplicas: 2', { 'min-scale': '0' }, { minReplicas: 2 }, 0],
    ['', { window: '90s', 'scale-down-delay': '1m30s' }, { stableWindowSec: 90, scaleDownDelaySec: 90 }, 0],
    ['', { 'scale-to-zero-pod-retention-period': '5m' }, { scaleToZeroGraceSec: 300 }, 0],
    ['', { metric: 'cpu', target: '80', class: 'hpa.autoscaling.knative.dev', 'initial-scale': '3' }, {}, 4],
  ])('scales with %j and annotations %j', (fields, annotations, scaling, warnings) => {
    const named = Object.entries(annotations).map(([name, value]) => `autoscaling.knative.dev/${name}: "${value}"`);
    const found = service(`${ONNX}, ${fields && `${fields}, `} annotations: { ${named.join(', ')} }`);
    expect(found.errors).toEqual([]);
    expect(found.plan).toMatchObject({ endpoint: { scaling } });
    expect(found.warnings).toHaveLength(warnings);
  });

  it.each([
    ['model: { modelFormat: { name: onnx }, storageUri: "pvc://models/m" }', 'cannot be fetched (local paths, file://'],
    ['model: { modelFormat: { name: onnx }, storageUri: "gs://kfserving-examples/m" }', 'gcloud storage cp -r'],
    ['model: { modelFormat: { name: onnx }, storageUri: "hf://org/name" }', 'hf download'],
    ['model: { modelFormat: { name: onnx }, storageUri: "s3://" }', 'names no bucket'],
    ['model: { modelFormat: { name: onnx }, storageUri: "https://a:b@c/m" }', 'holds a user or password'],
    ['model: { modelFormat: { name: onnx } }', 'spec.predictor.model.storageUri is missing'],
    ['model: { storageUri: ./m }', 'spec.predictor.model.modelFormat is missing'],
    [
      'model: { modelFormat: { name: pytorch }, storageUri: ./m }',
      'modelFormat.name is "pytorch": none of the engines',
    ],
    ['triton: { storageUri: ./m }', 'spec.predictor.triton: none of the engines serves it'],
    [`${ONNX}, sklearn: { storageUri: ./m }`, 'spec.predictor.sklearn: there is model too'],
    [`${ONNX}, containers: [{ name: x, image: y }]`, 'spec.predictor.containers: no other container'],
    ['minReplicas: 1', 'spec.predictor.model is missing'],
    [
      'model: { modelFormat: { name: onnx }, storageUri: ./m, runtime: mine }',
      'model.runtime is "mine": is no runtime',
    ],
    ['model: { modelFormat: { name: onnx }, storageUri: ./m, image: x }', 'model.image is "x": the engine'],
    ['model: { modelFormat: { name: onnx }, storageUri: ./m, protocolVersion: v3 }', 'is "v3", expected one of v1, v2'],
    [
      'model: { modelFormat: { name: onnx }, storagUri: ./m }',
      'model.storagUri is no field that is known; did you mean storageUri?',
    ],
    ['model: { modelFormat: { name: onnx }, storageUri: ./m, storage: { key: s3 } }', 'model.storage: the secrets'],
    ['model: { modelFormat: { name: onnx }, storageUri: ./m, volumeMounts: [] }', 'volumeMounts cannot be mounted'],
    [`${ONNX}, workerSpec: {}`, 'spec.predictor.workerSpec: a model cannot be spread'],
    [`${ONNX}, parallelism: 2`, 'spec.predictor.parallelism is 2: is called containerConcurrency'],
    [`${ONNX}, volumes: [{ name: a }]`, 'spec.predictor.volumes cannot be mounted'],
    [`${ONNX}, minReplica: 2`, 'spec.predictor.minReplica is no field that is known; did you mean minReplicas?'],
    [`${ONNX}, minReplicas: "2"`, 'spec.predictor.minReplicas is "2", expected a whole number from 0 to 1000'],
    [`${ONNX}, minReplicas: 4, maxReplicas: 2`, 'minReplicas is 4: is more than maxReplicas, 2'],
    [`${ONNX}, canaryTrafficPercent: 120`, 'is 120, expected a whole number from 0 to 100'],
    [`${ONNX}, logger: { mode: all }`, 'spec.predictor.logger.url is missing'],
    [
      `${ONNX}, logger: { mode: some, url: "http://a" }`,
      'logger.mode is "some", expected one of all, request, response',
    ],
    [
      `${ONNX}, annotations: { autoscaling.knative.dev/window: soon }`,
      '["autoscaling.knative.dev/window"] is "soon": cannot be read',
    ],
    [`${ONNX}, annotations: { autoscaling.knative.dev/windows: 6s }`, 'is no annotation of the autoscaler'],
    ['containers: [{ image: x, args: [a] }]', 'containers[0].args: an image runs with its own entry point'],
    [
      'containers: [{ image: x, env: [{ name: STORAGE_URI, value: "s3://a/b" }] }]',
      'env[0].value is "s3://a/b": nothing is fetched',
    ],
    [
      'containers: [{ image: x, env: [{ name: K, valueFrom: { secretKeyRef: { name: a, key: b } } }] }]',
      'env[0].valueFrom: secrets',
    ],
    [
      'model: { modelFormat: { name: onnx }, storageUri: ./m, resources: { limits: { amd.com/gpu: 1 } } }',
      'limits["amd.com/gpu"] is 1: cannot be given',
    ],
    [
      'model: { modelFormat: { name: onnx }, storageUri: ./m, resources: { limits: { cpu: lots } } }',
      'expected an amount such as',
    ],
  ])('is refused where it cannot mean what it says: %s', (predictor, message) => {
    const found = service(predictor);
    expect(found.plan).toBeUndefined();
    expect(found.errors.join('\n')).toContain(message);
  });

  it('has no transformer, explainer or list of canaries', () => {
    const { errors } = read(
      `${HEAD}spec: { transformer: {}, explainer: {}, canary: [], predictors: {}, predictor: { ${ONNX} } }\n`,
    );
    expect(errors.map((message) => message.split(/[: ]/, 1)[0])).toEqual([
      'spec.transformer',
      'spec.explainer',
      'spec.canary',
      'spec.predictors',
    ]);
    expect(errors.join()).toContain('did you mean predictor?');
  });

  it('is stopped by no annotation, and public only by ours', () => {
    const annotated = (text: string) =>
      read(`${HEAD.replace('name: m', `name: m, annotations: { ${text} }`)}spec: { predictor: { ${ONNX} } }\n`);
    expect(annotated('serving.kserve.io/stop: "true"').errors[0]).toContain('it would be served');
    expect(annotated('sluice.dev/access: public').plan).toMatchObject({ endpoint: { access: 'public' } });
    expect(annotated('sluice.dev/acces: public').errors).toHaveLength(1);
    expect(annotated('serving.kserve.io/deploymentMode: RawDeployment').warnings).toHaveLength(1);
    expect(annotated('prometheus.io/scrape: "true"').warnings).toEqual([
      'metadata.annotations["prometheus.io/scrape"] is "true": is not kept: endpoints have no annotations',
    ]);
  });
});

describe('other documents of KServe and Knative', () => {
  it.each([
    ['serving.kserve.io/v1alpha1', 'InferenceGraph', 'graphs of models are not served'],
    ['serving.kserve.io/v1alpha2', 'InferenceService', 'expected serving.kserve.io/v1beta1'],
    ['serving.kserve.io/v1alpha1', 'ClusterServingRuntime', 'engines are those of Sluice'],
    ['serving.knative.dev/v1', 'Route', 'sluice traffic set'],
    ['serving.knative.dev/v1', 'Nothing', 'it is nothing that Sluice has'],
  ])('%s %s is refused', (apiVersion, kind, message) => {
    expect(read(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: m }\n`).errors[0]).toContain(message);
  });
});

describe('docs/kserve.md', () => {
  const page = readFileSync(new URL('../../../../docs/kserve.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
  it.each(blocks.filter((text) => text.includes('apiVersion')))('has a document that is taken: %s', (text) => {
    expect(read(text)).toMatchObject({ errors: [], warnings: [], plan: expect.anything() });
  });
});

describe('a Knative Service', () => {
  const knative = (spec: string) =>
    read(`apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: m }\nspec: ${spec}\n`);

  it('is its traffic, and says that its template is ignored', () => {
    const found = knative(
      '{ template: { spec: {} }, traffic: [{ revisionName: m-r3, percent: 90, tag: stable }, { latestRevision: true, percent: 10 }] }',
    );
    expect(found.errors).toEqual([]);
    expect(found.plan).toEqual({
      targets: [
        { revision: 3, percent: 90, tag: 'stable' },
        { revision: undefined, percent: 10 },
      ],
    });
    expect(found.warnings).toEqual([expect.stringContaining('spec.template is ignored')]);
  });

  it.each([
    ['{}', 'spec.traffic is missing'],
    ['{ traffic: [{ revisionName: other-r3, percent: 100 }] }', 'is "other-r3": expected m-r and the number'],
    ['{ traffic: [{ revisionName: m-00001, percent: 100 }] }', 'expected m-r and the number of a revision'],
    ['{ traffic: [{ revisionName: m-r1, percent: 90 }] }', 'must add up to 100, not 90'],
    ['{ traffic: [{ percent: 100 }] }', 'either revisionName or latestRevision'],
    ['{ traffic: [{ revisionName: m-r1, percent: 12.5 }] }', 'percent is 12.5, expected a whole number'],
  ])('%s is refused', (spec, message) => {
    expect(knative(spec).errors.join('\n')).toContain(message);
  });
});
