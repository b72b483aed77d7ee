/** The annotations of an InferenceService that say how it is to be served. */
import type { Fields } from './fields.js';

/** An autoscaling annotation, and where it stands. */
export interface Given {
  readonly value: string;
  warn(what: string): void;
  refuse(what: string): void;
}

export interface Annotations {
  /** By their names of today, such as `target`, without `autoscaling.knative.dev/`. */
  readonly autoscaling: ReadonlyMap<string, Given>;
  readonly access: string | undefined;
  readonly tagRouting: boolean;
}

const KNATIVE = 'autoscaling.knative.dev/';

const MODES = ['Serverless', 'Knative', 'RawDeployment', 'Standard', 'ModelMesh'] as const;

/** Reads those of the document and of its predictor, whose word counts more. */
export function readAnnotations(document: Fields | undefined, predictor: Fields | undefined): Annotations {
  const autoscaling = new Map<string, Given>();
  let tagRouting = false;
  let access: string | undefined;
  for (const at of [document, predictor].filter((one) => one !== undefined)) {
    for (const name of at.left()) {
      if (name.startsWith(KNATIVE)) {
        const value = at.scalar(name) ?? '';
        autoscaling.set(modern(name.slice(KNATIVE.length)), {
          value,
          warn: (what) => at.warn(name, what),
          refuse: (what) => at.refuse(name, what),
        });
      } else if (name === 'serving.kserve.io/enable-tag-routing') tagRouting = at.scalar(name) === 'true';
      else if (name === 'sluice.dev/access') access = at.oneOf(name, ['key', 'public']);
      else if (name.startsWith('kubectl.kubernetes.io/')) at.skip(name);
      else kserveAnnotation(at, name);
    }
  }
  return { autoscaling, access, tagRouting };
}

function kserveAnnotation(at: Fields, name: string): void {
  if (name === 'serving.kserve.io/deploymentMode') {
    const mode = at.oneOf(name, MODES);
    if (mode !== undefined && mode !== 'Serverless' && mode !== 'Knative') {
      at.warn(name, 'there is one way to serve here: it scales on requests, and has its canary, in every mode');
    }
  } else if (name === 'serving.kserve.io/autoscalerClass') {
    if (at.scalar(name) !== 'kpa') at.warn(name, "replicas follow the requests in hand, as with Knative's kpa");
  } else if (name === 'serving.kserve.io/stop') {
    if (at.scalar(name) !== 'false') at.refuse(name, 'it would be served; unload the endpoint, or delete it, instead');
  } else if (name === 'serving.knative.dev/rollout-duration') {
    at.warn(name, 'traffic moves at once; for a canary in steps that is judged, see `sluice rollouts start`');
  } else if (name.startsWith('sluice.dev/')) {
    at.refuse(name, 'there is no such annotation; known is sluice.dev/access');
  } else at.warn(name, 'is not kept: endpoints have no annotations');
}

/** `minScale`, as it was once written, is `min-scale`. */
function modern(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
