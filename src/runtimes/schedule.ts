import { AppError } from '../errors.js';

/** Whether the one who asked is still there; an AbortSignal is one. */
export interface Cancellation {
  readonly aborted: boolean;
}

/** How long inferences may run back to back before the process looks at its sockets again. */
const TURN_MS = 1;
const MAX_TURN_JOBS = 64;

interface Job {
  readonly signal: Cancellation;
  readonly run: () => Promise<unknown>;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The one place that decides when inferences of a model run, and where batches will be made of what waits.
 *
 * ONNX Runtime's Node binding computes on the calling thread, and everything started in one turn of the event loop runs
 * before the next look at the sockets. So jobs start in turns of about a millisecond (by the running mean of what one
 * takes): many when they are tiny, one when they are slow. Between turns, cancellations and health checks get through,
 * and a job whose client left meanwhile is never started.
 */
export class Schedule {
  private queue: Job[] = [];
  private running = false;
  private meanMs = TURN_MS;
  private idle: (() => void)[] = [];

  /** `onRun` hears, for each job that ran, the seconds it took: its share of its turn. */
  constructor(private readonly onRun: (seconds: number) => void) {}

  /** Runs the job in its turn; rejects with `cancelled` when the signal is aborted before the job was started. */
  submit<T>(signal: Cancellation, run: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.queue.push({ signal, run, resolve, reject });
      if (this.running) return;
      this.running = true;
      // after this look at the sockets is over: all that came with it is in the first turn, and who left is known
      setImmediate(() => void this.work());
    });
  }

  /** Resolves once nothing runs or waits. */
  whenIdle(): Promise<void> {
    return this.running ? new Promise((resolve) => this.idle.push(resolve)) : Promise.resolve();
  }

  private async work(): Promise<void> {
    while (this.queue.length > 0) {
      const width = Math.max(1, Math.min(MAX_TURN_JOBS, Math.floor(TURN_MS / this.meanMs)));
      const turn = this.queue.splice(0, width).filter(isWanted);
      if (turn.length === 0) continue;
      const started = performance.now();
      const settle = await Promise.all(turn.map(runJob));
      // together, so that their answers leave together
      for (const tell of settle) tell();
      const eachMs = (performance.now() - started) / turn.length;
      // others on this processor only ever make a turn look longer: a short time is believed at once, a long one slowly
      this.meanMs += (eachMs - this.meanMs) / (eachMs < this.meanMs ? 2 : 16);
      for (let i = 0; i < turn.length; i++) this.onRun(eachMs / 1000);
    }
    this.running = false;
    const waiting = this.idle;
    this.idle = [];
    for (const wake of waiting) wake();
  }
}

function isWanted(job: Job): boolean {
  if (!job.signal.aborted) return true;
  job.reject(new AppError('cancelled', 'the client went away before the inference started'));
  return false;
}

/** Runs a job; the function that comes back tells its outcome to the one who waits. */
async function runJob(job: Job): Promise<() => void> {
  try {
    const value = (await job.run()) as never;
    return () => job.resolve(value);
  } catch (error) {
    return () => job.reject(error);
  }
}
