/** The last output of containers that ended, read once for each end. */
import { AppError } from '../../errors.js';
import type { KubernetesApi } from './api.js';
import type { Pod } from './objects.js';
import { type PodWords, podWords } from './pod-words.js';

const LINES = 4;
const LINE_LENGTH = 300;
const KEPT = 500;

export class LastLines {
  private readonly kept = new Map<string, readonly string[]>();

  constructor(private readonly api: KubernetesApi) {}

  /** What a pod is doing, with the last output of the container that ended. */
  async wordsOf(pod: Pod, signal: AbortSignal): Promise<PodWords> {
    const plain = podWords(pod);
    if (!plain.ended) return plain;
    return podWords(pod, await this.read(pod, plain.ended, signal));
  }

  private async read(
    pod: Pod,
    { container, previous }: NonNullable<PodWords['ended']>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const status = pod.status?.containerStatuses?.find(({ name }) => name === container);
    // the same end has the same key, whether it is the present one or by now the one before
    const ends = (status?.restartCount ?? 0) - (previous ? 1 : 0);
    const key = `${pod.metadata.uid} ${container} ${ends}`;
    const known = this.kept.get(key);
    if (known) return known;
    const lines: string[] = [];
    try {
      const from = this.api.logs(pod.metadata.name, { container, previous, tailLines: LINES }, signal);
      for await (const line of from) if (line.trim() !== '') lines.push(line.trim().slice(0, LINE_LENGTH));
    } catch (error) {
      // no output is kept of some ends, and none can be read while the API server is away
      if (!(error instanceof AppError)) throw error;
      if (error.code === 'upstream_failed') return lines;
    }
    if (this.kept.size >= KEPT) this.kept.clear();
    this.kept.set(key, lines);
    return lines;
  }
}
