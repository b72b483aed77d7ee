/** The worker processes of one model: each request goes to an idle one, and one that ends is replaced. */
import { AppError, asAppError, messageOf } from '../../errors.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { LoadedReply, Reply, Request } from './messages.js';
import { type WorkerOptions, WorkerProcess } from './worker-process.js';

export interface PoolOptions extends WorkerOptions {
  readonly workers: number;
  readonly timeoutMs: number | undefined;
}

interface Waiter {
  give(worker: WorkerProcess): void;
  refuse(error: AppError): void;
}

const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;
/** A worker that lived this long was healthy: its end does not add to the back-off. */
const HEALTHY_AFTER_MS = 10_000;

export class WorkerPool {
  /** All that have not ended, and those of them that have loaded the model. */
  private readonly processes = new Set<WorkerProcess>();
  private readonly live = new Set<WorkerProcess>();
  private readonly idle: WorkerProcess[] = [];
  private readonly waiting: Waiter[] = [];
  private readonly pauses = new Set<NodeJS.Timeout>();
  private failures = 0;
  private problem: AppError | undefined;
  private nextStartAt = 0;
  private closed = false;

  private constructor(private readonly options: PoolOptions) {}

  /** Starts all workers; resolves when each has loaded the model, rejects with the first failure. */
  static async start(options: PoolOptions): Promise<{ pool: WorkerPool; loaded: LoadedReply }> {
    const pool = new WorkerPool(options);
    try {
      const [loaded] = await Promise.all(Array.from({ length: options.workers }, () => pool.add()));
      if (loaded) return { pool, loaded };
      throw new AppError('internal', 'a pool of no workers');
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /**
   * Asks the next idle worker. `upstream_failed` when its process ends meanwhile, `timeout` when it was ended for taking
   * too long, `not_ready` while none lives and the next start is put off.
   */
  async ask(request: Request, inputs: readonly Tensor[]): Promise<Reply> {
    const worker = this.idle.pop() ?? (await this.nextIdle());
    const { timeoutMs } = this.options;
    let late = false;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            worker.kill();
          }, timeoutMs);
    try {
      return await worker.ask(request, inputs);
    } catch (error) {
      if (!late) throw error;
      throw new AppError('timeout', `the model gave no answer within ${timeoutMs} ms; its process was ended`);
    } finally {
      clearTimeout(timer);
      if (this.live.has(worker)) this.release(worker);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const pause of this.pauses) clearTimeout(pause);
    this.refuseAll(new AppError('not_ready', 'the model is being unloaded'));
    await Promise.all(
      [...this.processes].map((worker) => {
        if (this.live.has(worker)) return worker.stop();
        worker.kill();
        return worker.ended;
      }),
    );
  }

  private async add(): Promise<LoadedReply> {
    const worker = new WorkerProcess(this.options);
    this.processes.add(worker);
    void worker.ended.then(() => this.processes.delete(worker));
    const loaded = await worker.load().catch(async (error) => {
      worker.kill();
      await worker.ended;
      throw error;
    });
    const since = performance.now();
    this.live.add(worker);
    void worker.ended.then((how) => {
      this.live.delete(worker);
      const at = this.idle.indexOf(worker);
      if (at !== -1) this.idle.splice(at, 1);
      if (this.closed) return;
      this.options.log?.warn("a model's process ended; another is started", { how });
      if (performance.now() - since >= HEALTHY_AFTER_MS) this.failures = 0;
      this.replace(new AppError('upstream_failed', how));
    });
    this.release(worker);
    return loaded;
  }

  private release(worker: WorkerProcess): void {
    const next = this.waiting.shift();
    if (next) next.give(worker);
    else this.idle.push(worker);
  }

  private nextIdle(): Promise<WorkerProcess> {
    if (this.closed) throw new AppError('not_ready', 'the model is not loaded');
    if (this.hopeless) throw this.putOff();
    return new Promise((give, refuse) => this.waiting.push({ give, refuse }));
  }

  /** Starts another worker: at once the first time, and later and later while they keep ending or do not start. */
  private replace(why: AppError): void {
    this.problem = why;
    const delayMs = this.failures === 0 ? 0 : Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.failures - 1));
    this.failures++;
    this.nextStartAt = performance.now() + delayMs;
    const pause = setTimeout(() => {
      this.pauses.delete(pause);
      this.add().catch((error) => {
        if (this.closed) return;
        this.options.log?.warn("a model's process did not start again", { error: messageOf(error) });
        this.replace(asAppError(error));
      });
    }, delayMs);
    pause.unref();
    this.pauses.add(pause);
    if (delayMs > 0 && this.hopeless) this.refuseAll(this.putOff());
  }

  /** Whether nobody serves and nobody is being started. */
  private get hopeless(): boolean {
    return this.processes.size === 0 && this.nextStartAt > performance.now();
  }

  private putOff(): AppError {
    const waitSec = Math.max(1, Math.ceil((this.nextStartAt - performance.now()) / 1000));
    return new AppError('not_ready', `the model's process keeps ending: ${this.problem?.message ?? 'it is gone'}`, {
      retryAfterSec: waitSec,
    });
  }

  private refuseAll(error: AppError): void {
    for (const waiter of this.waiting.splice(0)) waiter.refuse(error);
  }
}
