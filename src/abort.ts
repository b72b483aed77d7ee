/** Abort signals made of others. */
import { setMaxListeners } from 'node:events';

/** A signal that holds something for as long as it is waited for. */
export interface HeldSignal {
  readonly signal: AbortSignal;
  /** Lets go of it; to be called when nobody waits any more. */
  release(): void;
}

/**
 * Joins signals: it aborts with the reason of the first one that does. Some of them may live as long as the process:
 * AbortSignal.any leaves a trace on each of them with every call, this leaves nothing once it is released.
 */
export function joinSignals(signals: readonly AbortSignal[]): HeldSignal {
  const joined = new AbortController();
  // many may wait for one of them, and for the joined one
  setMaxListeners(0, joined.signal, ...signals);
  const abort = (event: Event) => joined.abort((event.target as AbortSignal).reason);
  for (const signal of signals) {
    if (signal.aborted) joined.abort(signal.reason);
    else signal.addEventListener('abort', abort, { once: true });
  }
  return {
    signal: joined.signal,
    release() {
      for (const signal of signals) signal.removeEventListener('abort', abort);
    },
  };
}

/** A signal that aborts after a while, unless it is released before. */
export function deadline(ms: number): HeldSignal {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`not done within ${ms} ms`)), ms);
  return { signal: late.signal, release: () => clearTimeout(timer) };
}
