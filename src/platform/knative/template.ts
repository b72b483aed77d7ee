/** The template of one revision: what Knative is told of its scaling, its container and its place. Pure. */
import { RUNTIME_ACCOUNT, TOKEN_AUDIENCE } from '../../core/cluster-names.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import type { ServerSpec } from '../../core/models/server.js';
import { endpointLabels, LABEL_REVISION, revisionOf } from './names.js';
import type { RevisionTemplate } from './objects.js';

/** What the installation says of its cluster. */
export interface KnativeSettings {
  readonly namespace: string;
  readonly runtimeImage: string;
  readonly podsUrl: string;
  /** Undefined: revisions are reached by the cluster's own names. */
  readonly ingressUrl: string | undefined;
  readonly keepRevisions: number;
  /** Longest that a prediction may take. */
  readonly predictTimeoutMs: number;
}

interface Owner {
  readonly id: string;
  readonly name: string;
  readonly project: string;
}

const RUNTIME_PORT = 8080;
const READY_PATH = '/v2/health/ready';
/** Of the pod's only container of ours. */
export const CONTAINER = 'model';
/** What Knative allows unless it is told otherwise (config-defaults, max-revision-timeout-seconds). */
const MAX_TIMEOUT_SEC = 600;
const TOKEN_SEC = 600;

/** Why Knative cannot run the revision, whatever the cluster is like; undefined when it can. */
export function unfit({ server, number }: RevisionRoute): string | undefined {
  if (!server?.command) return undefined;
  return `revision ${number} is a command (${server.command[0]}), which a cluster cannot run: give its server as an image or a url`;
}

/** Whether Knative has to do with the revision at all. */
export function onKnative({ server }: RevisionRoute): boolean {
  return server?.url === undefined && server?.command === undefined;
}

export function templateOf(owner: Owner, revision: RevisionRoute, settings: KnativeSettings): RevisionTemplate {
  const { placement, scaling, server } = revision;
  const timeout = Math.min(MAX_TIMEOUT_SEC, Math.ceil(settings.predictTimeoutMs / 1000));
  return {
    metadata: {
      name: revisionOf(owner, revision.number),
      labels: { ...endpointLabels(owner), [LABEL_REVISION]: String(revision.number) },
      annotations: annotationsOf(revision),
    },
    spec: {
      containerConcurrency: scaling.concurrency,
      timeoutSeconds: timeout,
      responseStartTimeoutSeconds: timeout,
      serviceAccountName: RUNTIME_ACCOUNT,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(Object.keys(placement.nodeSelector).length > 0 ? { nodeSelector: placement.nodeSelector } : {}),
      ...(placement.tolerations.length > 0 ? { tolerations: placement.tolerations } : {}),
      containers: [server ? serverContainer(revision, server) : runtimeContainer(revision, settings)],
      volumes: [{ name: 'models', emptyDir: {} }, { name: 'tmp', emptyDir: {} }, ...(server ? [] : [tokenVolume()])],
    },
  };
}

/** The least number of pods is not among them: it moves with the traffic, and is set on the autoscaler. */
function annotationsOf({ scaling, server }: RevisionRoute): Record<string, string> {
  const scale = (key: string) => `autoscaling.knative.dev/${key}`;
  return {
    [scale('max-scale')]: String(scaling.maxReplicas),
    [scale('initial-scale')]: '1',
    [scale('window')]: `${scaling.stableWindowSec}s`,
    [scale('target-utilization-percentage')]: String(Math.round(scaling.targetUtilization * 100)),
    [scale('scale-down-delay')]: `${scaling.scaleDownDelaySec}s`,
    [scale('scale-to-zero-pod-retention-period')]: `${Math.round(scaling.scaleToZeroGraceSec)}s`,
    // which revisions stay is for the operator to say
    'serving.knative.dev/no-gc': 'true',
    ...(server ? { 'serving.knative.dev/progress-deadline': `${server.startTimeoutSec}s` } : {}),
  };
}

/** What a container may do: nothing that serving a model does not need. */
const RESTRICTED = {
  runAsNonRoot: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

const MOUNTS = [
  { name: 'models', mountPath: '/models' },
  { name: 'tmp', mountPath: '/tmp' },
];

function runtimeContainer(revision: RevisionRoute, { runtimeImage, podsUrl }: KnativeSettings): object {
  return {
    name: CONTAINER,
    image: revision.placement.image ?? runtimeImage,
    ports: [{ containerPort: RUNTIME_PORT }],
    env: [{ name: 'SLUICE_PODS_URL', value: podsUrl }],
    resources: resourcesOf(revision),
    readinessProbe: { httpGet: { path: READY_PATH } },
    securityContext: { ...RESTRICTED, readOnlyRootFilesystem: true },
    volumeMounts: [...MOUNTS, { name: 'token', mountPath: '/var/run/sluice', readOnly: true }],
  };
}

/** Somebody else's server: it is given no token, and may write where it likes, as it would anywhere. */
function serverContainer(revision: RevisionRoute, { image, port, env, readyPath }: ServerSpec): object {
  return {
    name: CONTAINER,
    image,
    ports: [{ containerPort: port ?? RUNTIME_PORT }],
    // Knative sets PORT itself, to the port above
    env: Object.entries(env).flatMap(([name, value]) => (name === 'PORT' ? [] : [{ name, value }])),
    resources: resourcesOf(revision),
    readinessProbe: { httpGet: { path: readyPath } },
    securityContext: RESTRICTED,
    volumeMounts: MOUNTS,
  };
}

function resourcesOf({ placement: { cpus, memoryMb, gpus } }: RevisionRoute): object {
  const limits = { memory: `${memoryMb}Mi`, ...(gpus > 0 ? { 'nvidia.com/gpu': String(gpus) } : {}) };
  // no limit of the processor: it would slow a load or an answer down where nobody else wants the time
  return { requests: { cpu: `${Math.max(1, Math.round(cpus * 1000))}m`, ...limits }, limits };
}

function tokenVolume(): object {
  const serviceAccountToken = { audience: TOKEN_AUDIENCE, expirationSeconds: TOKEN_SEC, path: 'token' };
  return { name: 'token', projected: { sources: [{ serviceAccountToken }] } };
}
