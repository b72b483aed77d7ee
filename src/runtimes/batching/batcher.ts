/**
 * The one place that decides when inferences of a model run, and together with which others. A batch is what arrived
 * while the last one ran: nobody waits for a batch to fill unless the model's settings say so.
 */
import { AppError, messageOf } from '../../errors.js';
import type { Signature } from '../../protocol/signature.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { Engine, InferCall, Loaded } from '../engine.js';
import { BatchGain } from './gain.js';
import { inOrder, joinInputs, joinKey, nameKey, rowsOf, splitOutputs } from './join.js';
import { type BatchPolicy, batchRows } from './policy.js';
import { BatchTrust } from './trust.js';

/** Whether the one who asked is still there; an AbortSignal is one. */
export interface Cancellation {
  readonly aborted: boolean;
}

/** What one request took, in milliseconds. */
export interface Timing {
  readonly queueMs: number;
  /** Of the whole run that it was part of. */
  readonly inferMs: number;
  /** Rows of that run. */
  readonly batchRows: number;
}

/** Who asked, and hears the outcome: exactly one of the two is called, once. */
export interface Asker {
  readonly signal: Cancellation;
  /** When the answer is of no use any more, in milliseconds of performance.now(); undefined: always of use. */
  readonly deadline: number | undefined;
  done(outputs: Tensor[], timing: Timing): void;
  failed(error: unknown): void;
}

/** Told of every run that ended well. */
export type OnRun = (run: { readonly rows: number; readonly requests: number; readonly ms: number }) => void;

export interface BatcherOptions {
  readonly engine: Engine;
  readonly loaded: Loaded;
  readonly policy: BatchPolicy;
  readonly onRun: OnRun;
  /** Told once when batches turned out to be wrong for this model. */
  readonly onRefusal: (reason: string) => void;
}

interface Job {
  readonly call: InferCall;
  readonly asker: Asker;
  readonly since: number;
  /** Undefined: cannot be joined with others. */
  readonly rows: number | undefined;
  readonly key: string;
}

/**
 * How long inferences may run back to back before the process looks at its sockets again: an engine that computes on the
 * calling thread would otherwise hold back cancellations, health checks, and the requests that the next batch is made of.
 */
const TURN_MS = 1;
const MAX_TURN_RUNS = 64;

export class Batcher {
  private queue: Job[] = [];
  private running = 0;
  private scheduled = false;
  private timer: NodeJS.Timeout | undefined;
  private meanMs = TURN_MS;
  private idle: (() => void)[] = [];
  private readonly trust = new BatchTrust();
  private readonly gain = new BatchGain();

  constructor(private readonly options: BatcherOptions) {}

  get policy(): BatchPolicy {
    return this.options.policy;
  }

  /** Requests that wait or run. */
  get pending(): number {
    return this.queue.length + this.running;
  }

  /** Takes a request whose inputs and outputs were checked. It fails with `cancelled` if its signal aborts before it runs. */
  submit(call: InferCall, asker: Asker): void {
    this.queue.push(this.jobOf(call, asker));
    // after this look at the sockets is over: all that came with it is there, and who left is known
    this.schedule();
  }

  /** Resolves once nothing runs or waits. */
  whenIdle(): Promise<void> {
    return this.pending === 0 ? Promise.resolve() : new Promise((resolve) => this.idle.push(resolve));
  }

  private jobOf(call: InferCall, asker: Asker): Job {
    const since = performance.now();
    const { loaded, policy } = this.options;
    if (!loaded.batchable || policy.maxRows === 1) return { call, asker, since, rows: undefined, key: '' };
    const inputs = loaded.open ? call.inputs : inOrder(signatureOf(loaded, call.signature), call.inputs);
    const key = joinKey(inputs, call.outputs, call.signature) + (loaded.open ? nameKey(inputs) : '');
    return { call: { ...call, inputs }, asker, since, rows: rowsOf(inputs), key };
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.turn);
  }

  private readonly turn = (): void => {
    this.scheduled = false;
    for (let free = this.freeRuns(); free > 0; free--) {
      const batch = this.take();
      if (batch.length === 0) break;
      this.running += batch.length;
      void this.run(batch);
    }
    if (this.pending === 0) for (const wake of this.idle.splice(0)) wake();
  };

  /** Runs that may begin now: the engine's free lanes; on the calling thread, what fits a turn once the last is over. */
  private freeRuns(): number {
    const { lanes } = this.options.loaded;
    if (lanes > 1) return lanes - this.lanesBusy;
    return this.running > 0 ? 0 : Math.max(1, Math.min(MAX_TURN_RUNS, Math.floor(TURN_MS / this.meanMs)));
  }

  private lanesBusy = 0;

  /** The next requests to run together, taken off the queue; none when the first may still wait for others. */
  private take(): Job[] {
    if (!this.queue.every(stillWanted)) this.queue = this.queue.filter(isWanted);
    const [first] = this.queue;
    if (!first) return [];
    const batch = this.joinable(first);
    if (batch.length > 1 || first.rows === undefined) this.clearTimer();
    else if (this.mayWait(first, first.rows)) return [];
    if (batch.length === this.queue.length) this.queue = [];
    else if (batch.length === 1) this.queue.shift();
    else {
      const taken = new Set(batch);
      this.queue = this.queue.filter((job) => !taken.has(job));
    }
    return batch;
  }

  /** The first request and those behind it that can run with it, as many as the next batch has rows for. */
  private joinable(first: Job): Job[] {
    if (first.rows === undefined || this.queue.length === 1 || !this.trust.allowed || !this.gain.pays) return [first];
    const { policy } = this.options;
    const same: Job[] = [];
    let waiting = 0;
    for (const job of this.queue) {
      if (job.rows === undefined || job.key !== first.key || (same.length > 0 && waiting + job.rows > policy.maxRows))
        continue;
      same.push(job);
      waiting += job.rows;
      if (waiting >= policy.maxRows) break;
    }
    let rows = batchRows(policy, waiting);
    return same.filter((job, at) => {
      const fits = at === 0 || (job.rows as number) <= rows;
      if (fits) rows -= job.rows as number;
      return fits;
    });
  }

  /** Whether a request alone waits a little for others, as the settings allow; sees to it that it does not for ever. */
  private mayWait(first: Job, rows: number): boolean {
    const { delayMs, maxRows } = this.options.policy;
    const left = first.since + delayMs - performance.now();
    if (delayMs === 0 || left <= 0 || rows >= maxRows || !this.trust.allowed) return false;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.schedule();
    }, Math.ceil(left));
    return true;
  }

  private clearTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async run(batch: readonly Job[]): Promise<void> {
    this.lanesBusy++;
    const started = performance.now();
    if (batch.length > 1) await this.runJoined(batch, started);
    else await this.runAlone(batch[0] as Job, started);
    const tookMs = performance.now() - started;
    // others on this processor only ever make a run look longer: a short time is believed at once, a long one slowly
    this.meanMs += (tookMs - this.meanMs) / (tookMs < this.meanMs ? 2 : 16);
    this.lanesBusy--;
    this.running -= batch.length;
    this.schedule();
  }

  /** Whether it ended well. */
  private async runAlone(job: Job, began: number): Promise<boolean> {
    const started = performance.now();
    let outputs: Tensor[];
    try {
      outputs = await this.options.engine.infer(job.call);
    } catch (error) {
      job.asker.failed(error);
      return false;
    }
    const ms = performance.now() - started;
    const rows = job.rows ?? 1;
    this.noteRun(rows, 1, ms);
    job.asker.done(outputs, { queueMs: began - job.since, inferMs: ms, batchRows: rows });
    return true;
  }

  private async runJoined(batch: readonly Job[], began: number): Promise<void> {
    const rows = batch.map((job) => job.rows as number);
    const total = rows.reduce((sum, count) => sum + count, 0);
    const [{ call }] = batch as readonly [Job];
    try {
      const started = performance.now();
      const inputs = joinInputs(batch.map((job) => job.call.inputs));
      const outputs = await this.options.engine.infer({ ...call, inputs });
      const ms = performance.now() - started;
      const answers = splitOutputs(outputs, rows);
      if (this.trust.wantsCheck) await this.check(batch, answers);
      if (this.trust.allowed) {
        this.noteRun(total, batch.length, ms);
        batch.forEach((job, at) => {
          job.asker.done(answers[at] as Tensor[], { queueMs: began - job.since, inferMs: ms, batchRows: total });
        });
        return;
      }
    } catch (error) {
      await this.runEach(batch, began, messageOf(error));
      return;
    }
    await this.runEach(batch, began, this.trust.refusal ?? '');
  }

  /** One bad row fails a batch whole; alone, each request gets what it deserves. When all do well alone, it was the batch. */
  private async runEach(batch: readonly Job[], began: number, problem: string): Promise<void> {
    let well = true;
    for (const job of batch) well = (await this.runAlone(job, began)) && well;
    if (!well || !this.trust.allowed) return;
    this.trust.refuse(problem);
    this.options.onRefusal(problem);
  }

  /** Runs the batch's first and last request alone and compares. */
  private async check(batch: readonly Job[], answers: readonly Tensor[][]): Promise<void> {
    for (const at of new Set([0, batch.length - 1])) {
      const alone = await this.options.engine.infer((batch[at] as Job).call);
      this.trust.compare(answers[at] as Tensor[], alone);
    }
    if (this.trust.refusal !== undefined) this.options.onRefusal(this.trust.refusal);
  }

  private noteRun(rows: number, requests: number, ms: number): void {
    this.gain.record(rows, requests, ms);
    this.options.onRun({ rows, requests, ms });
  }
}

function signatureOf(loaded: Loaded, name: string | undefined): Signature {
  return (name === undefined ? undefined : loaded.signatures?.get(name)) ?? loaded.signature;
}

function stillWanted({ asker }: Job): boolean {
  return !asker.signal.aborted && (asker.deadline === undefined || performance.now() < asker.deadline);
}

/** Whether a request is still to be run; tells it why, when it is not. */
function isWanted(job: Job): boolean {
  if (stillWanted(job)) return true;
  job.asker.failed(
    job.asker.signal.aborted
      ? new AppError('cancelled', 'the client went away before the inference started')
      : new AppError('timeout', 'the time limit of the request passed before its inference started'),
  );
  return false;
}
