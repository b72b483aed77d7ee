/** What a replica is given and where it may run: the fields of a pod that an endpoint's placement has, and the others. */
import { shown } from '../closest.js';
import type { Fields } from './fields.js';
import { quantity } from './quantities.js';
import type { Settings } from './scaling.js';

const NODES = 'nodes are chosen by nodeSelector and tolerations alone';
const OWN_PODS = 'Sluice makes the pods of its model servers as it sees fit';

/** Fields of a pod that change where or how it runs, and not what it answers. */
const NOT_HONOURED: Readonly<Record<string, string>> = {
  serviceAccountName:
    'model servers run with an account without rights; what fetches the model are the credentials of this command',
  serviceAccount: 'model servers run with an account without rights',
  imagePullSecrets: 'images are pulled as Sluice was set up for',
  affinity: NODES,
  topologySpreadConstraints: NODES,
  nodeName: NODES,
  schedulerName: NODES,
  schedulingGates: NODES,
  priorityClassName: OWN_PODS,
  priority: OWN_PODS,
  preemptionPolicy: OWN_PODS,
  runtimeClassName: OWN_PODS,
  securityContext: OWN_PODS,
  terminationGracePeriodSeconds: 'a replica ends once it has answered what it was asked',
  automountServiceAccountToken: OWN_PODS,
  enableServiceLinks: OWN_PODS,
  dnsPolicy: OWN_PODS,
  dnsConfig: OWN_PODS,
  hostAliases: OWN_PODS,
  hostname: OWN_PODS,
  subdomain: OWN_PODS,
  restartPolicy: OWN_PODS,
  shareProcessNamespace: OWN_PODS,
  activeDeadlineSeconds: OWN_PODS,
  readinessGates: OWN_PODS,
  overhead: OWN_PODS,
  os: OWN_PODS,
  hostUsers: OWN_PODS,
  setHostnameAsFQDN: OWN_PODS,
};

const REFUSED: Readonly<Record<string, string>> = {
  initContainers: 'cannot be run; bring what they prepare with the model',
  ephemeralContainers: 'cannot be run',
  volumes: 'cannot be mounted; bring their files with the model',
  resourceClaims: 'devices of claims cannot be given; name GPUs as nvidia.com/gpu',
  hostNetwork: 'model servers have no part in the network of their host',
  hostPID: 'model servers see no processes but their own',
  hostIPC: 'model servers see no processes but their own',
};

/** The fields of the pod besides its containers. */
export function readPod(predictor: Fields): Settings {
  const selector = predictor.child('nodeSelector');
  const nodeSelector = selector && textMap(selector);
  const tolerations = predictor.children('tolerations').map((one) => {
    const out: Record<string, unknown> = {};
    for (const name of ['key', 'operator', 'value', 'effect'] as const) {
      const value = one.text(name);
      if (value !== undefined && value !== '') out[name] = value;
    }
    const seconds = one.whole('tolerationSeconds', 0, Number.MAX_SAFE_INTEGER);
    one.end();
    return seconds === undefined ? out : { ...out, tolerationSeconds: seconds };
  });
  for (const name of ['hostNetwork', 'hostPID', 'hostIPC']) if (predictor.take(name) === false) predictor.skip(name);
  predictor.warnOf(NOT_HONOURED);
  for (const [name, what] of Object.entries(REFUSED)) {
    const value = predictor.take(name);
    if (value !== undefined && value !== false) predictor.refuse(name, what);
  }
  return { ...(nodeSelector ? { nodeSelector } : {}), ...(tolerations.length > 0 ? { tolerations } : {}) };
}

/** Values of any names, all text. */
export function textMap(fields: Fields): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name of fields.left()) {
    const value = fields.scalar(name);
    if (value !== undefined) out[name] = value;
  }
  return out;
}

/** A container's resources. Of a request and a limit that differ, processors are the request and memory is the limit. */
export function readResources(container: Fields): Settings {
  const resources = container.child('resources');
  if (!resources) return {};
  const requests = amounts(resources.child('requests'));
  const limits = amounts(resources.child('limits'));
  if (resources.has('claims')) resources.refuse('claims', 'devices of claims cannot be given; name nvidia.com/gpu');
  resources.end();
  const cpus = requests.cpu ?? limits.cpu;
  const memory = limits.memory ?? requests.memory;
  const gpus = limits['nvidia.com/gpu'] ?? requests['nvidia.com/gpu'];
  if (limits.cpu !== undefined && requests.cpu !== undefined && limits.cpu !== requests.cpu) {
    resources.warn('limits', `processors are what is requested, ${requests.cpu}, without a limit above`);
  }
  if (requests.memory !== undefined && limits.memory !== undefined && limits.memory !== requests.memory) {
    resources.warn('requests', `memory is the limit, ${Math.ceil(limits.memory / 2 ** 20)} MiB, set aside as a whole`);
  }
  return {
    ...(cpus === undefined ? {} : { cpus }),
    ...(memory === undefined ? {} : { memoryMb: Math.ceil(memory / 2 ** 20) }),
    ...(gpus === undefined ? {} : { gpus }),
  };
}

function amounts(fields: Fields | undefined): Record<string, number> {
  const out: Record<string, number> = {};
  for (const name of fields?.left() ?? []) {
    const text = fields?.scalar(name);
    const value = text === undefined ? undefined : quantity(text);
    if (value === undefined) fields?.refuse(name, `is ${shown(text)}, expected an amount such as 500m or 2Gi`);
    else if (['cpu', 'memory', 'nvidia.com/gpu'].includes(name)) out[name] = value;
    else if (name === 'ephemeral-storage') fields?.warn(name, 'is not set aside');
    else fields?.refuse(name, 'cannot be given; what can is cpu, memory and nvidia.com/gpu');
  }
  return out;
}
