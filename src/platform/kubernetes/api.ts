/** The Kubernetes API over HTTP: the verbs that are used here, with the API server's own words when it refuses. */
import { createInterface } from 'node:readline/promises';
import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { AppError, type ErrorCode, messageOf } from '../../errors.js';
import { LineSplitter } from '../lines.js';
import type { ClusterAccess } from './access.js';
import { type KubeObject, PODS, type ResourceKind } from './objects.js';

/** By which the API server knows which fields of an object are ours (server-side apply). */
const FIELD_MANAGER = 'sluice';

export interface Selection {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

export interface DeleteOptions {
  /** Only the object with this uid. */
  readonly uid?: string;
  readonly propagation?: 'Foreground' | 'Background' | 'Orphan';
  readonly gracePeriodSec?: number;
}

export interface LogOptions {
  readonly container?: string;
  readonly follow?: boolean;
  readonly timestamps?: boolean;
  readonly sinceTime?: string;
  readonly tailLines?: number;
  readonly previous?: boolean;
}

const TIMEOUT_MS = 30_000;
/** The API server ends a watch after this; it is begun again where it ended. */
const WATCH_SEC = 300;
/** Silence after which a connection counts as dead. */
const SILENCE_MS = (WATCH_SEC + 30) * 1000;

export class KubernetesApi {
  private readonly agent: Agent;

  constructor(private readonly access: ClusterAccess) {
    this.agent = new Agent({
      connect: { timeout: 10_000, ...access.tls },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: SILENCE_MS,
    });
  }

  get namespace(): string {
    return this.access.namespace;
  }

  async get<T extends KubeObject>(kind: ResourceKind, name: string): Promise<T | undefined> {
    try {
      return await this.json<T>('GET', this.path(kind, name));
    } catch (error) {
      if (error instanceof AppError && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(
    kind: ResourceKind,
    selection: Selection = {},
  ): Promise<{ items: T[]; resourceVersion: string }> {
    const { items, metadata } = await this.json<{ items: T[]; metadata: { resourceVersion: string } }>(
      'GET',
      this.path(kind),
      { ...selection },
    );
    return { items, resourceVersion: metadata.resourceVersion };
  }

  /** With `strict` a field that the API server does not know is refused, not dropped. */
  create<T extends KubeObject>(kind: ResourceKind, object: object, { strict = false } = {}): Promise<T> {
    const query = { fieldManager: FIELD_MANAGER, ...(strict ? { fieldValidation: 'Strict' } : {}) };
    return this.json<T>('POST', this.path(kind), query, { body: whole(kind, object) });
  }

  /** Server-side apply: makes the object, or changes the fields named, and takes them over from whoever had them. */
  apply<T extends KubeObject>(kind: ResourceKind, object: KubeObject, dryRun = false): Promise<T> {
    const query = { fieldManager: FIELD_MANAGER, force: 'true', ...(dryRun ? { dryRun: 'All' } : {}) };
    return this.json<T>('PATCH', this.path(kind, object.metadata.name), query, {
      body: whole(kind, object),
      type: 'application/apply-patch+yaml',
    });
  }

  /** JSON merge patch (RFC 7386). */
  patch<T extends KubeObject>(kind: ResourceKind, name: string, change: object): Promise<T> {
    return this.json<T>(
      'PATCH',
      this.path(kind, name),
      { fieldManager: FIELD_MANAGER },
      { body: change, type: 'application/merge-patch+json' },
    );
  }

  /** False when there was no such object, or it is another one by now. */
  async delete(
    kind: ResourceKind,
    name: string,
    { uid, propagation = 'Background', gracePeriodSec }: DeleteOptions = {},
  ): Promise<boolean> {
    const body = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      propagationPolicy: propagation,
      ...(uid === undefined ? {} : { preconditions: { uid } }),
      ...(gracePeriodSec === undefined ? {} : { gracePeriodSeconds: gracePeriodSec }),
    };
    try {
      await this.json('DELETE', this.path(kind, name), {}, { body });
      return true;
    } catch (error) {
      if (error instanceof AppError && (error.code === 'not_found' || error.code === 'conflict')) return false;
      throw error;
    }
  }

  /** What changes from `resourceVersion` on. Ends when the API server ends it; throws when the connection breaks. */
  async *watch<T extends KubeObject>(
    kind: ResourceKind,
    from: Selection & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const query = { ...from, watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: String(WATCH_SEC) };
    const input = await this.stream(this.path(kind), query, signal);
    let broken: unknown;
    input.on('error', (error) => {
      broken = error;
    });
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
      if (line !== '') yield JSON.parse(line) as WatchEvent<T>;
    if (broken !== undefined) throw broken;
  }

  /** A container's output, line by line; with `follow` until it ends. */
  async *logs(pod: string, options: LogOptions, signal: AbortSignal): AsyncGenerator<string> {
    const query: Record<string, string> = {};
    for (const [key, value] of Object.entries(options)) if (value !== undefined) query[key] = String(value);
    const path = `${this.path(PODS, pod)}/log`;
    const lines = new LineSplitter();
    for await (const chunk of await this.stream(path, query, signal)) yield* lines.push(chunk as Buffer);
    yield* lines.flush();
  }

  close(): Promise<void> {
    return this.agent.destroy();
  }

  private path({ apiVersion, plural, namespaced }: ResourceKind, name?: string): string {
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const scope = namespaced ? `/namespaces/${encodeURIComponent(this.access.namespace)}` : '';
    return `${root}${scope}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
  }

  private async json<T>(
    method: Dispatcher.HttpMethod,
    path: string,
    query: Readonly<Record<string, string>> = {},
    { body, type = 'application/json' }: { body?: object; type?: string } = {},
  ): Promise<T> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await this.send(method, path, query, signal, body && { text: JSON.stringify(body), type });
    return (await response.body.json()) as T;
  }

  private async stream(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Readable> {
    return (await this.send('GET', path, query, signal)).body;
  }

  private async send(
    method: Dispatcher.HttpMethod,
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
    body?: { readonly text: string; readonly type: string },
  ): Promise<Dispatcher.ResponseData> {
    const token = await this.access.token();
    let response: Dispatcher.ResponseData;
    try {
      response = await request(`${this.access.server}${path}`, {
        dispatcher: this.agent,
        method,
        query,
        signal,
        headers: {
          accept: 'application/json, */*',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body ? { 'content-type': body.type } : {}),
        },
        ...(body ? { body: body.text } : {}),
      });
    } catch (error) {
      if (signal.aborted && signal.reason?.name !== 'TimeoutError') throw signal.reason;
      throw new AppError('upstream_failed', `the Kubernetes API does not answer: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (response.statusCode < 300) return response;
    throw refusal(`${method} ${path}`, response.statusCode, await response.body.text());
  }
}

function whole({ apiVersion, kind }: ResourceKind, object: object): object {
  return { apiVersion, kind, ...object };
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  410: 'conflict',
  413: 'too_large',
  422: 'invalid',
  429: 'overloaded',
};

/** What the API server says, which is a Status object, of a request that it refused. */
function refusal(what: string, status: number, text: string): AppError {
  let reason = '';
  let message = text.slice(0, 500);
  try {
    const parsed = JSON.parse(text) as { reason?: string; message?: string };
    reason = parsed.reason ?? '';
    message = parsed.message ?? message;
  } catch {
    // a proxy in between answers as it likes
  }
  return new AppError(CODES[status] ?? 'upstream_failed', `the Kubernetes API refused ${what}: ${message}`, {
    details: { status, reason },
  });
}
