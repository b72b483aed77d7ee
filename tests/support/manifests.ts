/** Reads the manifests of deploy/, and says what in them a careful cluster would not take. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly resources?: {
    readonly requests?: Readonly<Record<string, string>>;
    readonly limits?: Readonly<Record<string, string>>;
  };
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly allowPrivilegeEscalation?: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly runAsUser?: number;
    readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  };
  readonly ports?: readonly { readonly hostPort?: number }[];
  readonly readinessProbe?: object;
  readonly livenessProbe?: object;
}

interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly securityContext?: {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly seccompProfile?: { readonly type?: string };
  };
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly hostPath?: object }[];
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly template?: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
  readonly rules?: readonly {
    readonly apiGroups?: readonly string[];
    readonly resources?: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

export interface Kustomization {
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly patches?: readonly { readonly path?: string; readonly patch?: string }[];
  readonly images?: readonly {
    readonly name: string;
    readonly newName?: string;
    readonly newTag?: string;
    readonly digest?: string;
  }[];
  readonly configMapGenerator?: readonly { readonly literals?: readonly string[]; readonly envs?: readonly string[] }[];
}

/** Every folder below that kustomize builds from. */
export function kustomizations(folder: string): { readonly folder: string; readonly content: Kustomization }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('kustomization.yaml'))
    .sort()
    .map((path) => ({
      folder: join(folder, path, '..'),
      content: parse(readFileSync(join(folder, path), 'utf8')) as Kustomization,
    }));
}

export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { merge: true }).flatMap((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return (document.toJS() as Manifest | null) ?? [];
  });
}

const WORKLOADS = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'Job']);
/** Those whose programs speak to the API server. */
const NEED_TOKEN = new Set(['sluice-gateway', 'sluice-worker']);
const LABELS = ['app.kubernetes.io/name', 'app.kubernetes.io/component'];

/** What is wrong with an object, in words; nothing for what runs nothing. */
export function policyProblems(object: Manifest): string[] {
  const pod = object.spec?.template?.spec;
  if (!WORKLOADS.has(object.kind) || pod === undefined) return [];
  const problems: string[] = [];
  const need = (holds: boolean, problem: string) => holds || problems.push(`${object.metadata.name}: ${problem}`);
  const labels = object.spec?.template?.metadata?.labels ?? {};
  for (const label of LABELS) {
    need(label in labels && label in (object.metadata.labels ?? {}), `label ${label} is missing`);
  }
  need(!(pod.hostNetwork || pod.hostPID || pod.hostIPC), "shares the host's namespaces");
  for (const { name, hostPath } of pod.volumes ?? []) need(hostPath === undefined, `volume ${name} is the host's`);
  need(pod.securityContext?.runAsNonRoot === true, 'runAsNonRoot is not set');
  need(pod.securityContext?.runAsUser !== 0, 'runs as root');
  need(pod.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'has no seccomp profile');
  need(
    pod.automountServiceAccountToken === NEED_TOKEN.has(pod.serviceAccountName ?? ''),
    `automountServiceAccountToken is ${pod.automountServiceAccountToken}`,
  );
  for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
    for (const problem of containerProblems(container)) need(false, `${container.name}: ${problem}`);
  }
  return problems;
}

function containerProblems({ image, resources, securityContext, ports }: Container): string[] {
  const rules: [holds: boolean, problem: string][] = [
    [!/:latest$/.test(image ?? ''), 'image has the tag latest'],
    [securityContext?.privileged !== true, 'is privileged'],
    [securityContext?.runAsUser !== 0, 'runs as root'],
    [securityContext?.allowPrivilegeEscalation === false, 'allowPrivilegeEscalation is not false'],
    [securityContext?.readOnlyRootFilesystem === true, 'readOnlyRootFilesystem is not set'],
    [securityContext?.capabilities?.drop?.includes('ALL') === true, 'capabilities are not dropped'],
    [(securityContext?.capabilities?.add ?? []).length === 0, 'capabilities are added'],
    [(ports ?? []).every(({ hostPort }) => hostPort === undefined), 'takes a port of the host'],
    ...(['cpu', 'memory', 'ephemeral-storage'] as const).flatMap((what): [boolean, string][] => [
      [resources?.requests?.[what] !== undefined, `requests no ${what}`],
      [resources?.limits?.[what] !== undefined, `has no limit of ${what}`],
    ]),
  ];
  return rules.filter(([holds]) => !holds).map(([, problem]) => problem);
}
