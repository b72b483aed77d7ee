/**
 * An attempt as a TrainJob of the Kubeflow Trainer. Its runtime is the platform's own: where pods run, with which
 * tolerations, in which gang. What an attempt needs on top is said as the trainer, and as a patch of the runtime's pods;
 * neither can say how often a pod is tried again and how long it may take to stop, which stays with the runtime.
 */
import type { Attempt } from '../../../core/training/runner.js';
import { TRAINER_NODE } from './objects.js';

/** Whose the patch is; the Trainer wants a name with a domain. */
const PATCH_MANAGER = 'sluice.dev/worker';

/** The pod of a Job, as far as a TrainJob can say it. */
export interface TrainerPod {
  readonly serviceAccountName: string;
  readonly securityContext: object;
  readonly volumes: readonly object[];
  readonly container: {
    readonly image: string;
    readonly command: readonly string[];
    readonly env: readonly object[];
    readonly resources: object;
    readonly securityContext: object;
    readonly volumeMounts: readonly object[];
  };
}

export interface TrainJobOptions extends Pick<Attempt, 'replicas' | 'distributed'> {
  readonly runtime: string;
  /** By which pods are found. */
  readonly labels: Readonly<Record<string, string>>;
}

export function trainJobSpec(pod: TrainerPod, { runtime, labels, replicas, distributed }: TrainJobOptions): object {
  const { image, command, env, resources, securityContext, volumeMounts } = pod.container;
  const podPatch = {
    metadata: { labels },
    spec: {
      serviceAccountName: pod.serviceAccountName,
      securityContext: pod.securityContext,
      volumes: pod.volumes,
      containers: [{ name: TRAINER_NODE, securityContext, volumeMounts }],
    },
  };
  const job = { name: TRAINER_NODE, template: { spec: { template: podPatch } } };
  return {
    runtimeRef: runtimeRef(runtime),
    trainer: {
      image,
      command,
      env,
      numNodes: replicas,
      numProcPerNode: distributed.processesPerReplica,
      resourcesPerNode: resources,
    },
    runtimePatches: [
      { manager: PATCH_MANAGER, trainingRuntimeSpec: { template: { spec: { replicatedJobs: [job] } } } },
    ],
  };
}

/** Of `NAME` or `KIND/NAME`. */
export function runtimeRef(text: string): { apiGroup: string; kind: string; name: string } {
  const [name = '', kind = 'ClusterTrainingRuntime'] = text.split('/').reverse();
  return { apiGroup: 'trainer.kubeflow.org', kind, name };
}
