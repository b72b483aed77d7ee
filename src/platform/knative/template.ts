/** What a Knative Revision is made from: a revision's settings in Knative's words. Pure. */
import { RUNTIME_ACCOUNT, revisionName, TOKEN_AUDIENCE } from '../../core/cluster-names.js';
import type { RevisionRoute } from '../../core/inference/route.js';
import type { ServerSpec } from '../../core/models/server.js';
import { LABELS, MANAGER, type Template } from './kinds.js';

export interface TemplateSettings {
  /** Image of the model servers. */
  readonly runtimeImage: string;
  /** Where pods reach the gateways. */
  readonly podsUrl: string;
  /** Longest that a prediction may take. */
  readonly predictTimeoutSec: number;
}

export const PORT = 8080;
const TOKEN_FOLDER = '/var/run/sluice';
const MODELS_FOLDER = '/models';
const TOKEN_SEC = 600;
const MIB = 1024 * 1024;
/** Knative's own bounds (config-defaults, autoscaling's annotations). */
const MAX_TIMEOUT_SEC = 600;
const WINDOW_SEC = { least: 6, most: 3600 };

export function labelsOf(project: string, route: { readonly endpoint: string; readonly endpointId: string }) {
  return {
    [LABELS.managedBy]: MANAGER,
    [LABELS.project]: project,
    [LABELS.endpoint]: route.endpoint,
    // a label's value may hold what an id holds
    [LABELS.endpointId]: route.endpointId,
  };
}

/** Why a revision cannot run on a cluster; undefined when it can. */
export function whyNotHere({ server }: RevisionRoute): string | undefined {
  if (!server?.command) return undefined;
  return 'its model server is a command of one machine; on a cluster give it an image or a url';
}

export function revisionTemplate(
  project: string,
  service: string,
  route: RevisionRoute,
  settings: TemplateSettings,
): Template {
  const { placement, scaling, server } = route;
  return {
    metadata: {
      name: revisionName(service, route.number),
      labels: { ...labelsOf(project, route), [LABELS.revision]: String(route.number) },
      annotations: annotationsOf(route),
    },
    spec: {
      containerConcurrency: scaling.concurrency,
      timeoutSeconds: Math.min(MAX_TIMEOUT_SEC, Math.ceil(settings.predictTimeoutSec)),
      serviceAccountName: RUNTIME_ACCOUNT,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...(Object.keys(placement.nodeSelector).length > 0 ? { nodeSelector: placement.nodeSelector } : {}),
      ...(placement.tolerations.length > 0 ? { tolerations: placement.tolerations } : {}),
      containers: [
        {
          ...(server ? externalContainer(server) : runtimeContainer(route, settings)),
          resources: resourcesOf(route),
          securityContext: {
            runAsNonRoot: true,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: server === undefined,
            capabilities: { drop: ['ALL'] },
            seccompProfile: { type: 'RuntimeDefault' },
          },
          volumeMounts: [
            { name: 'models', mountPath: MODELS_FOLDER },
            { name: 'tmp', mountPath: '/tmp' },
            ...(server ? [] : [{ name: 'token', mountPath: TOKEN_FOLDER, readOnly: true }]),
          ],
        },
      ],
      volumes: [
        { name: 'models', emptyDir: {} },
        { name: 'tmp', emptyDir: {} },
        ...(server ? [] : [{ name: 'token', projected: { sources: [TOKEN_SOURCE] } }]),
      ],
    },
  };
}

const TOKEN_SOURCE = {
  serviceAccountToken: { audience: TOKEN_AUDIENCE, expirationSeconds: TOKEN_SEC, path: 'token' },
};

/** The least number of pods is not among them: it changes with the traffic, and is set where that needs no new pods. */
function annotationsOf({ scaling }: RevisionRoute): Record<string, string> {
  const window = Math.min(WINDOW_SEC.most, Math.max(WINDOW_SEC.least, scaling.stableWindowSec));
  return {
    'autoscaling.knative.dev/max-scale': String(scaling.maxReplicas),
    'autoscaling.knative.dev/target-utilization-percentage': String(Math.round(scaling.targetUtilization * 100)),
    'autoscaling.knative.dev/window': `${window}s`,
    'autoscaling.knative.dev/scale-down-delay': `${scaling.scaleDownDelaySec}s`,
    'autoscaling.knative.dev/scale-to-zero-pod-retention-period': `${Math.round(scaling.scaleToZeroGraceSec)}s`,
    // Sluice removes the revisions that are not wanted any more
    'serving.knative.dev/no-gc': 'true',
  };
}

function runtimeContainer({ placement }: RevisionRoute, { runtimeImage, podsUrl }: TemplateSettings) {
  return {
    image: placement.image ?? runtimeImage,
    command: ['node', '/app/dist/pod.js'],
    args: [
      '--pods-url',
      podsUrl,
      '--token-file',
      `${TOKEN_FOLDER}/token`,
      '--models',
      MODELS_FOLDER,
      '--http',
      `0.0.0.0:${PORT}`,
      '--termination-log',
      '/dev/termination-log',
    ],
    ports: [{ containerPort: PORT }],
    readinessProbe: { httpGet: { path: '/v2/health/ready' }, periodSeconds: 1, failureThreshold: 3 },
  };
}

function externalContainer(server: ServerSpec) {
  return {
    image: server.image,
    env: Object.entries(server.env).map(([name, value]) => ({ name, value })),
    ports: [{ containerPort: server.port ?? PORT }],
    readinessProbe: { httpGet: { path: server.readyPath }, periodSeconds: 1, failureThreshold: 3 },
  };
}

function resourcesOf({ placement: { cpus, memoryMb, gpus } }: RevisionRoute) {
  const memory = `${memoryMb}Mi`;
  const gpu = gpus > 0 ? { 'nvidia.com/gpu': String(gpus) } : {};
  return {
    requests: { cpu: `${Math.round(cpus * 1000)}m`, memory, ...gpu },
    // no limit of the processor: a limit slows a replica down in the middle of an answer, and protects nobody
    limits: { memory, ...gpu },
  };
}

/** Memory in bytes as Kubernetes writes it; undefined when it is written in another way. */
export function bytesOf(quantity: string): number | undefined {
  const [, digits, unit = ''] = /^(\d+)(Ki|Mi|Gi|)$/.exec(quantity) ?? [];
  const factor = { '': 1, Ki: 1024, Mi: MIB, Gi: 1024 * MIB }[unit];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}
