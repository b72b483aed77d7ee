/**
 * A copy of the cluster's objects of one kind, kept by list and watch as the API conventions say: a watch goes on where the
 * last one ended, a version that is too old means a new list, and failures back off. What was seen last stays while the API
 * server is away.
 */
import type { Clock } from '../../clock.js';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { KubernetesApi, Selection, WatchEvent } from './api.js';
import type { Condition, KubeObject, ResourceKind } from './objects.js';

export interface MirrorOptions<T extends KubeObject> {
  readonly api: KubernetesApi;
  readonly kind: ResourceKind;
  readonly selection: Selection;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every object that came, changed or went (then `object` is undefined), and once after every new list. */
  onChange(name: string, object: T | undefined): void;
}

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 15_000;

export class Mirror<T extends KubeObject> {
  /** Resolves when everything was listed once. */
  readonly synced: Promise<void>;
  private readonly objects = new Map<string, T>();
  private readonly stopped = new AbortController();
  private readonly loop: Promise<void>;
  private tellSynced: () => void = () => {};
  private version: string | undefined;
  private reachable = false;
  /** Since something was last heard. */
  private failures = 0;

  constructor(private readonly options: MirrorOptions<T>) {
    this.synced = new Promise((resolve) => {
      this.tellSynced = resolve;
    });
    this.loop = this.run();
  }

  /** Whether changes are heard of now. */
  get connected(): boolean {
    return this.reachable;
  }

  get(name: string): T | undefined {
    return this.objects.get(name);
  }

  all(): IterableIterator<T> {
    return this.objects.values();
  }

  async close(): Promise<void> {
    this.stopped.abort();
    await this.loop;
  }

  private async run(): Promise<void> {
    const { clock, log, kind } = this.options;
    const { signal } = this.stopped;
    while (!signal.aborted) {
      try {
        if (this.version === undefined) await this.list();
        await this.watch();
      } catch (error) {
        this.reachable = false;
        if (signal.aborted) return;
        // its history is gone: everything is read anew
        if (isGone(error)) this.version = undefined;
        const waitMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.failures++) * (0.5 + Math.random() / 2);
        log.debug('a watch broke; it is begun again', { kind: kind.kind, error: messageOf(error), waitMs });
        await clock.sleep(waitMs, signal).catch(() => {});
      }
    }
  }

  private async list(): Promise<void> {
    const { api, kind, selection } = this.options;
    const { items, resourceVersion } = await api.list<T>(kind, selection);
    const present = new Set(items.map(({ metadata }) => metadata.name));
    for (const name of [...this.objects.keys()]) if (!present.has(name)) this.put(name, undefined);
    for (const item of items) this.put(item.metadata.name, item);
    this.version = resourceVersion;
    this.heard();
    this.tellSynced();
  }

  private async watch(): Promise<void> {
    const { api, kind, selection } = this.options;
    const from = { ...selection, resourceVersion: this.version ?? '' };
    for await (const event of api.watch<T>(kind, from, this.stopped.signal)) {
      this.heard();
      if (event.type === 'ERROR') throw brokenOff(event as WatchEvent<unknown>);
      this.version = event.object.metadata.resourceVersion;
      if (event.type !== 'BOOKMARK')
        this.put(event.object.metadata.name, event.type === 'DELETED' ? undefined : event.object);
    }
  }

  private heard(): void {
    this.reachable = true;
    this.failures = 0;
  }

  private put(name: string, object: T | undefined): void {
    const before = this.objects.get(name);
    if (object) this.objects.set(name, object);
    else this.objects.delete(name);
    const same = before && object && before.metadata.resourceVersion === object.metadata.resourceVersion;
    if (!same) this.options.onChange(name, object);
  }
}

function brokenOff({ object }: WatchEvent<unknown>): AppError {
  const { code, message } = object as { code?: number; message?: string } & Partial<Condition>;
  return new AppError('conflict', message ?? 'the watch was broken off', { details: { status: code } });
}

function isGone(error: unknown): boolean {
  return error instanceof AppError && error.details?.status === 410;
}
