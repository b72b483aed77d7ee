/** An InferenceService as what it becomes here: a model, an endpoint and its traffic. A pure translation. */
import { defined } from '../../values.js';
import { readAnnotations } from './annotations.js';
import { readEngineContainer, readServerContainer } from './container.js';
import { Fields, type Finding } from './fields.js';
import { FORMATS, type Format, KNOWN_RUNTIMES, LEGACY_FIELDS, refusalOf } from './formats.js';
import { readBatcher, readLogger } from './observers.js';
import { readPod, readResources } from './placement.js';
import { readScaling, type Settings } from './scaling.js';
import { storageRefusal } from './storage-uri.js';

export interface ServingPlan {
  /** Where the model comes from: files of a known format, or a server of somebody's own. */
  readonly source: { readonly storageUri: string; readonly format: Format } | { readonly server: Settings };
  /** The endpoint's settings that the document decides. */
  readonly endpoint: Settings;
  /** Share of the newest revision; undefined: all. */
  readonly canaryPercent: number | undefined;
  /** Whether the newest revision has the tag `latest`. */
  readonly tagRouting: boolean;
}

export interface Translation<Plan> {
  readonly name: string;
  /** Undefined where there are errors. */
  readonly plan: Plan | undefined;
  readonly findings: readonly Finding[];
}

/** Fields that a cluster writes into its objects. */
export const WRITTEN_BY_CLUSTERS = [
  'creationTimestamp',
  'resourceVersion',
  'uid',
  'generation',
  'managedFields',
  'selfLink',
  'finalizers',
  'ownerReferences',
];

/** Reads a document of serving.kserve.io/v1beta1. */
export function translateInferenceService(document: Readonly<Record<string, unknown>>): Translation<ServingPlan> {
  const findings: Finding[] = [];
  const root = new Fields(document, [], findings);
  root.skip('apiVersion', 'kind', 'status');
  const metadata = root.child('metadata');
  const name = readName(root, metadata);
  const spec = root.child('spec');
  if (!spec) root.refuse('spec', 'is missing');
  const predictor = spec?.child('predictor');
  if (spec && !predictor) spec.refuse('predictor', 'is missing');
  spec?.refuseOf({
    transformer: 'cannot be run before a model; put the step into the model (a class in model.py), or into the client',
    explainer: 'cannot be run beside a model; a class in model.py may have explain, for :explain',
    canary: 'use predictor.canaryTrafficPercent, or for more than two revisions `sluice traffic set`',
  });
  spec?.end();
  root.end();
  const plan = predictor && readPredictor(predictor, metadata, name);
  metadata?.end();
  const isBroken = findings.some((finding) => finding.level === 'error');
  return { name, plan: isBroken ? undefined : plan, findings };
}

/** The document's name, and what else its metadata says besides annotations. */
export function readName(root: Fields, metadata: Fields | undefined): string {
  if (!metadata) root.refuse('metadata', 'is missing: it has the name');
  const name = metadata?.text('name');
  if (metadata && name === undefined) metadata.refuse('name', 'is missing');
  metadata?.refuseOf({ generateName: 'give it a name, which clients call' });
  if (metadata?.has('namespace') && metadata.text('namespace') !== 'default')
    metadata.warn('namespace', 'endpoints are in the project of the key that makes them');
  metadata?.warnOf({ labels: 'are not kept: endpoints have no labels' });
  metadata?.skip(...WRITTEN_BY_CLUSTERS);
  return name ?? '';
}

function readPredictor(predictor: Fields, metadata: Fields | undefined, name: string): ServingPlan | undefined {
  const own = predictor.child('annotations');
  const annotations = readAnnotations(metadata?.child('annotations'), own);
  own?.end();
  const canaryPercent = predictor.whole('canaryTrafficPercent', 0, 100);
  const scaling = readScaling(predictor, annotations);
  const pod = readPod(predictor);
  const payloadLog = readLogger(predictor);
  const batching = readBatcher(predictor);
  predictor.refuseOf({
    workerSpec: 'a model cannot be spread over several nodes',
    storageUris: 'a model comes from one place; put it together, and name that with storageUri',
    parallelism: 'is called containerConcurrency since v1beta1',
  });
  predictor.warnOf({
    labels: 'are not kept: pods have the labels that Sluice gives them',
    deploymentStrategy: 'a new revision starts beside the one before, which ends when its traffic has gone',
    autoScaling: 'replicas follow the requests in hand, not these metrics',
    scaleMetricType: 'replicas follow the requests in hand',
    name: "clients call the endpoint by the document's name",
  });
  const model = readModel(predictor, name);
  predictor.end();
  if (!model) return undefined;
  if (predictor.has('timeout') && !model.isPython)
    predictor.warn(
      'timeout',
      'is how long a request waits for a replica; how long it may take is SLUICE_PREDICT_TIMEOUT_SEC of the gateway',
    );
  const { threads, workers } = model;
  const timeout = predictor.take('timeout');
  const options = defined({
    workers,
    timeoutMs: model.isPython && typeof timeout === 'number' ? timeout * 1000 : undefined,
  });
  return {
    source: model.source,
    endpoint: defined({
      access: annotations.access,
      scaling: defined({ ...scaling, threads }),
      runtime: filled(defined({ batching, options: filled(options) })),
      placement: filled({ ...pod, ...model.resources }),
      payloadLog,
    }),
    canaryPercent,
    tagRouting: annotations.tagRouting,
  };
}

interface ReadModel {
  readonly source: ServingPlan['source'];
  readonly resources: Settings;
  readonly threads: number | undefined;
  readonly workers: number | undefined;
  readonly isPython: boolean;
}

/** The one model of the predictor: `model`, a format's own field, or a container. */
function readModel(predictor: Fields, name: string): ReadModel | undefined {
  const found = ['model', ...LEGACY_FIELDS, 'containers'].filter((field) => predictor.has(field));
  predictor.skip('model', ...LEGACY_FIELDS, 'containers');
  const [field, another] = found;
  if (field === undefined) {
    predictor.refuse('model', 'is missing: name the format and the storageUri of the model');
    return undefined;
  }
  if (another === 'containers') {
    predictor.refuse('containers', 'no other container can run beside the model');
    return undefined;
  }
  if (another !== undefined) {
    predictor.refuse(another, `there is ${field} too: a predictor has one model`);
    return undefined;
  }
  if (field === 'containers') return readCustom(predictor);
  const model = predictor.child(field);
  if (!model) return undefined;
  const format = field === 'model' ? readFormat(model) : knownFormat(field, (what) => predictor.refuse(field, what));
  const storageUri = model.text('storageUri');
  if (storageUri === undefined && !model.has('storage')) model.refuse('storageUri', 'is missing: where is the model?');
  const refusal = storageUri === undefined ? undefined : storageRefusal(storageUri);
  if (refusal !== undefined) model.refuse('storageUri', refusal);
  model.refuseOf({ storage: 'the secrets of a cluster cannot be read; name the model with storageUri' });
  model.oneOf('protocolVersion', ['v1', 'v2', 'grpc-v1', 'grpc-v2']);
  const runtime = model.text('runtime');
  if (runtime !== undefined && KNOWN_RUNTIMES.has(runtime)) model.warn('runtime', "served by Sluice's own engine");
  else if (runtime !== undefined) {
    const what = 'is no runtime that is known, and what it would do is not known either';
    model.refuse(
      'runtime',
      `${what}; leave it out for Sluice's own engine, or give its container in predictor.containers`,
    );
  }
  if (format === undefined) return undefined;
  const engine = readEngineContainer(model, format, name);
  const resources = readResources(model);
  model.end();
  const isPython = format !== 'onnx' && format !== 'tensorflow';
  return { source: { storageUri: storageUri ?? '', format }, resources, isPython, ...engine };
}

function readFormat(model: Fields): Format | undefined {
  const format = model.child('modelFormat');
  if (!format) {
    model.refuse('modelFormat', `is missing: its name is one of ${FORMATS.join(', ')}`);
    return undefined;
  }
  const name = format.text('name');
  format.warnOf({ version: 'the engine is chosen by the format; Python packages are those of requirements.txt' });
  const known = knownFormat(name ?? '', (what) => format.refuse('name', what));
  format.end();
  return known;
}

function knownFormat(name: string, refuse: (what: string) => void): Format | undefined {
  const found = FORMATS.find((format) => format === name);
  if (!found) refuse(refusalOf(name));
  return found;
}

function readCustom(predictor: Fields): ReadModel | undefined {
  const [container, ...others] = predictor.children('containers');
  if (others.length > 0) predictor.refuse('containers', 'no other container can run beside the server');
  if (!container) return undefined;
  const server = readServerContainer(container);
  const resources = readResources(container);
  container.end();
  return { source: { server }, resources, threads: undefined, workers: undefined, isPython: false };
}

function filled(settings: Settings): Settings | undefined {
  return Object.keys(settings).length > 0 ? settings : undefined;
}
