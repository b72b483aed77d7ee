/** Where the cluster's API server is, and as whom we speak to it: a kubeconfig, or the pod's own service account. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import { AppError, messageOf } from '../../errors.js';

export interface ClusterAccess {
  /** Scheme, host and port, perhaps with a path. */
  readonly server: string;
  readonly tls: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
    readonly rejectUnauthorized?: boolean;
  };
  readonly namespace: string;
  /** The bearer token as it is now: a service account's is renewed while we run. */
  token(): Promise<string | undefined>;
}

export interface AccessOptions {
  /** Path of a kubeconfig; undefined: the pod's service account. */
  readonly kubeconfig: string | undefined;
  /** The API server as pods are told of it. */
  readonly service: { readonly host: string; readonly port: string } | undefined;
  /** Instead of the one of the context or the pod. */
  readonly namespace: string | undefined;
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet renews a token well before its end. */
const TOKEN_KEPT_MS = 30_000;

export async function openAccess(options: AccessOptions): Promise<ClusterAccess> {
  if (options.kubeconfig !== undefined) return fromKubeconfig(options.kubeconfig, options.namespace);
  if (options.service) return fromPod(options.service, options.namespace);
  throw new AppError('invalid', 'there is no cluster to speak to: set KUBECONFIG, or run in a pod');
}

async function fromPod(
  { host, port }: { host: string; port: string },
  namespace: string | undefined,
): Promise<ClusterAccess> {
  const [ca, own] = await Promise.all([read(`${ACCOUNT}/ca.crt`), read(`${ACCOUNT}/namespace`)]);
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    tls: { ca },
    namespace: namespace ?? own.trim(),
    token: kept(async () => ({ token: (await read(`${ACCOUNT}/token`)).trim(), untilMs: Date.now() + TOKEN_KEPT_MS })),
  };
}

const named = <T extends z.ZodType>(key: string, value: T) => z.array(z.object({ name: z.string(), [key]: value }));
const execSchema = z.object({
  command: z.string(),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
});
const userSchema = z.object({
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  exec: execSchema.optional(),
});
const clusterSchema = z.object({
  server: z.url({ protocol: /^https?$/ }),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
});
const contextSchema = z.object({ cluster: z.string(), user: z.string(), namespace: z.string().optional() });
const kubeconfigSchema = z.object({
  'current-context': z.string(),
  clusters: named('cluster', clusterSchema),
  users: named('user', userSchema),
  contexts: named('context', contextSchema),
});

type User = z.infer<typeof userSchema>;

async function fromKubeconfig(path: string, namespace: string | undefined): Promise<ClusterAccess> {
  const parsed = kubeconfigSchema.safeParse(parse(await read(path)));
  if (!parsed.success) throw new AppError('invalid', `KUBECONFIG ${path}: ${z.prettifyError(parsed.error)}`);
  const config = parsed.data;
  const find = <T>(list: readonly Record<string, unknown>[], name: string, key: string): T => {
    const found = list.find((one) => one.name === name)?.[key];
    if (found === undefined) throw new AppError('invalid', `KUBECONFIG ${path}: there is no ${key} "${name}"`);
    return found as T;
  };
  const context = find<z.infer<typeof contextSchema>>(config.contexts, config['current-context'], 'context');
  const cluster = find<z.infer<typeof clusterSchema>>(config.clusters, context.cluster, 'cluster');
  const user = find<User>(config.users, context.user, 'user');
  const text = async (data: string | undefined, file: string | undefined) =>
    data !== undefined
      ? Buffer.from(data, 'base64').toString('utf8')
      : file && (await read(resolve(dirname(path), file)));
  return {
    server: cluster.server.replace(/\/$/, ''),
    tls: {
      ca: await text(cluster['certificate-authority-data'], cluster['certificate-authority']),
      cert: await text(user['client-certificate-data'], user['client-certificate']),
      key: await text(user['client-key-data'], user['client-key']),
      rejectUnauthorized: cluster['insecure-skip-tls-verify'] !== true,
    },
    namespace: namespace ?? context.namespace ?? 'default',
    token: tokenOf(user, dirname(path)),
  };
}

function tokenOf({ token, tokenFile, exec }: User, folder: string): () => Promise<string | undefined> {
  if (exec) return kept(() => runPlugin(exec));
  if (tokenFile !== undefined) {
    const file = resolve(folder, tokenFile);
    return kept(async () => ({ token: (await read(file)).trim(), untilMs: Date.now() + TOKEN_KEPT_MS }));
  }
  return async () => token;
}

interface KeptToken {
  readonly token: string | undefined;
  readonly untilMs: number;
}

function kept(fetch: () => Promise<KeptToken>): () => Promise<string | undefined> {
  let last: KeptToken | undefined;
  return async () => {
    if (!last || last.untilMs <= Date.now()) last = await fetch();
    return last.token;
  };
}

const credentialSchema = z.object({
  status: z.object({ token: z.string().optional(), expirationTimestamp: z.string().optional() }),
});

/** A credential plugin, as client-go runs it (client.authentication.k8s.io). */
async function runPlugin({ command, args, env }: z.infer<typeof execSchema>): Promise<KeptToken> {
  const given = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
  const words = [...Object.entries(given).map(([name, value]) => `${name}=${value}`), command, ...(args ?? [])];
  const { stdout } = await promisify(execFile)('env', words).catch((error) => {
    throw new AppError('unauthenticated', `the credential plugin ${command} failed: ${messageOf(error)}`);
  });
  const { status } = credentialSchema.parse(JSON.parse(stdout));
  const ends = status.expirationTimestamp ? Date.parse(status.expirationTimestamp) - 60_000 : Number.POSITIVE_INFINITY;
  return { token: status.token, untilMs: Math.max(ends, Date.now() + 1000) };
}

async function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error) => {
    throw new AppError('invalid', `cannot read ${path}: ${messageOf(error)}`);
  });
}
