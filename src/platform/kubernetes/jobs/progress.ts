/** What an attempt on the cluster tells while it runs: its phases, and the output of its first replica. */
import { once } from 'node:events';
import type { Clock } from '../../../clock.js';
import type { AttemptSink } from '../../../core/training/runner.js';
import type { Log } from '../../../log.js';
import { createOutput } from '../../training/output.js';
import type { KubernetesApi } from '../api.js';
import type { Pod } from '../objects.js';
import { followLog } from './follow-log.js';
import { type PodLine, readPodLine } from './log-lines.js';
import { containerOf } from './objects.js';
import { terminated } from './verdict.js';

/** Lines of a failed replica, other than the first, that are shown. */
const TAIL_LINES = 50;

export interface ProgressOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Log;
  readonly sink: AttemptSink;
  readonly maxLogBytes: number;
  /** The pod as it is now. */
  pod(name: string): Pod | undefined;
}

export class Progress {
  private readonly output;
  private readonly followed = new Set<string>();
  private readonly stopped = new AbortController();
  private following: Promise<void> = Promise.resolve();
  private failure: { readonly error: unknown } | undefined;
  private told = '';
  private current:
    | { readonly pod: string; readonly phase: 'preparing' | 'running'; readonly detail: string }
    | undefined;

  constructor(private readonly options: ProgressOptions) {
    this.output = createOutput(options.sink, options.maxLogBytes, options.clock);
  }

  /** Throws what the sink threw. */
  check(): void {
    if (this.failure) throw this.failure.error;
  }

  say(text: string): Promise<void> {
    return this.output.say(text);
  }

  async waiting(words: string): Promise<void> {
    await this.phase('waiting', words);
  }

  /** The first replica's container runs or ran: its output is followed, after that of the pod before it. */
  async started(pod: Pod): Promise<void> {
    const { name } = pod.metadata;
    if (!this.followed.has(name)) {
      this.followed.add(name);
      this.following = this.following
        .then(() => this.follow(name, containerOf(pod)))
        .catch((error) => {
          this.failure ??= { error };
        });
    }
    const phase = this.current?.pod === name ? this.current : undefined;
    await this.phase(phase?.phase ?? 'preparing', phase?.detail ?? 'the container starts');
  }

  /** Resolves when all that was said has gone to the sink; an abort throws its reason. */
  async drained(signal?: AbortSignal): Promise<void> {
    const left = new AbortController();
    const aborted = signal && once(signal, 'abort', { signal: left.signal }).catch(() => {});
    await Promise.race([this.following, ...(aborted ? [aborted] : [])]);
    left.abort();
    signal?.throwIfAborted();
    this.check();
  }

  /** The last lines of a replica that is not the first. */
  async tail(pod: Pod, rank: number, signal: AbortSignal): Promise<void> {
    const query = { container: containerOf(pod), tailLines: TAIL_LINES };
    try {
      for await (const line of this.options.api.logs(pod.metadata.name, query, signal)) {
        const { kind, text } = readPodLine(line);
        if (kind !== 'preparing' && kind !== 'running') await this.say(`[replica ${rank}] ${text}`);
      }
    } catch (error) {
      this.options.log.debug('the log of a replica cannot be read', { pod: pod.metadata.name, error });
    }
  }

  /** Follows nothing any more. */
  async close(): Promise<void> {
    this.stopped.abort();
    await this.following;
  }

  private async follow(pod: string, container: string): Promise<void> {
    const { api, clock, log } = this.options;
    const ended = () => {
      const now = this.options.pod(pod);
      return !now || terminated(now) !== undefined || /^(Succeeded|Failed)$/.test(now.status?.phase ?? '');
    };
    await followLog(
      { api, clock, log, pod, container, ended, take: (line) => this.take(pod, line) },
      this.stopped.signal,
    );
  }

  private async take(pod: string, { kind, text }: PodLine): Promise<void> {
    if (kind === 'system') return this.output.say(text);
    if (kind === 'stdout' || kind === 'stderr') return this.output.lines(kind, [text]);
    this.current = { pod, phase: kind, detail: text };
    await this.phase(kind, text);
  }

  private async phase(phase: 'waiting' | 'preparing' | 'running', detail: string): Promise<void> {
    const words = `${phase}: ${detail}`;
    if (words === this.told) return;
    this.told = words;
    await this.options.sink.phase(phase, detail);
  }
}
