/** Follows the output of one pod to its end, also when the stream breaks on the way. */
import type { Clock } from '../../../clock.js';
import { AppError, messageOf } from '../../../errors.js';
import type { Log } from '../../../log.js';
import type { KubernetesApi } from '../api.js';
import { isPrinted, LogCursor, type PodLine, readPodLine } from './log-lines.js';

export interface FollowOptions {
  readonly api: Pick<KubernetesApi, 'logs'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly pod: string;
  readonly container: string;
  /** Whether the pod's container has ended, so that an end of the stream is the end. */
  ended(): boolean;
  take(line: PodLine): Promise<void>;
}

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Failures in a row, after the container's end, that mean that its log is no longer to be had. */
const TRIES_AFTER_END = 12;

/** Resolves when all that the kubelet keeps was taken, or the pod is gone. Rejects only when `take` does. */
export async function followLog(options: FollowOptions, signal: AbortSignal): Promise<void> {
  const { api, clock, log, pod, container, ended } = options;
  const cursor = new LogCursor();
  for (let failures = 0; !signal.aborted; ) {
    const wasEnded = ended();
    let taken: unknown;
    try {
      cursor.open();
      const since = cursor.since;
      const query = { container, follow: true, timestamps: true, ...(since ? { sinceTime: since } : {}) };
      for await (const line of api.logs(pod, query, signal)) {
        const text = cursor.take(line);
        if (text === undefined) continue;
        try {
          await options.take(isPrinted(line) ? readPodLine(text) : { kind: 'system', text });
        } catch (error) {
          taken = { error };
          throw error;
        }
        failures = 0;
      }
      // asked for after its end, it is whole
      if (wasEnded) return;
    } catch (error) {
      if (signal.aborted) return;
      if (taken !== undefined) throw error;
      if (error instanceof AppError && error.code === 'not_found') return;
      failures += 1;
      if (wasEnded && failures >= TRIES_AFTER_END) {
        log.warn('the log of a pod could not be read to its end', { pod, error: messageOf(error) });
        return;
      }
      log.debug('the log of a pod broke off; it is asked for again', { pod, error: messageOf(error) });
    }
    const waitMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
    await clock.sleep(waitMs, signal).catch(() => {});
  }
}
