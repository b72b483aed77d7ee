/** Warm model servers without a model: waking a revision then costs the load of its model, not the start of a process. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../clock.js';
import { AppError, messageOf } from '../../errors.js';
import { isRunning } from '../processes.js';
import { launchRuntime, type RuntimeLaunch, type RuntimeProcess } from './runtime-process.js';
import { socketFolder } from './socket-folder.js';

export interface SparesOptions extends Omit<RuntimeLaunch, 'socket'> {
  /** How many are kept ready. */
  readonly count: number;
  readonly clock: Clock;
}

/** A new spare is started this long after one was taken: the cold start under way gets the processor first. */
const REFILL_DELAY_MS = 300;

export class Spares {
  private readonly ready: RuntimeProcess[] = [];
  private readonly all = new Set<RuntimeProcess>();
  private readonly launching = new Set<Promise<RuntimeProcess>>();
  private starting = 0;
  private serial = 0;
  private failures = 0;
  private folder: Promise<string> | undefined;
  private readonly stopped = new AbortController();

  constructor(private readonly options: SparesOptions) {}

  /** Begins to keep spares. */
  start(): void {
    void this.refill(0);
  }

  /** A running, empty model server: a spare when there is one, a fresh one otherwise. */
  async take(): Promise<RuntimeProcess> {
    let spare = this.ready.shift();
    // the system may know of its end before the news reaches us
    while (spare && !isRunning(spare.pid)) spare = this.ready.shift();
    void this.refill(REFILL_DELAY_MS);
    return spare ?? (await this.launch());
  }

  async close(): Promise<void> {
    this.stopped.abort();
    // those that are being started end as soon as they are there
    await Promise.allSettled(this.launching);
    const gone = [...this.all].map((runtime) => runtime.exited);
    for (const runtime of this.ready) runtime.kill();
    await Promise.all(gone);
    const folder = await this.folder?.catch(() => undefined);
    if (folder) await rm(folder, { recursive: true, force: true });
  }

  private async refill(delayMs: number): Promise<void> {
    while (!this.stopped.signal.aborted && this.ready.length + this.starting < this.options.count) {
      this.starting++;
      try {
        await this.options.clock.sleep(
          delayMs + Math.min(10_000, this.failures && 200 * 2 ** this.failures),
          this.stopped.signal,
        );
        const runtime = await this.launch();
        const end = await Promise.race([runtime.warm, runtime.exited]);
        if (end !== undefined) throw new AppError('upstream_failed', end);
        // closed while it got warm: nobody else knows of it
        if (this.stopped.signal.aborted) return runtime.kill();
        this.failures = 0;
        this.ready.push(runtime);
        // its connection ends before its end is known: from then on it is of no use to anybody
        void runtime.gone.then(() => {
          const at = this.ready.indexOf(runtime);
          if (at === -1) return;
          this.ready.splice(at, 1);
          void this.refill(REFILL_DELAY_MS);
        });
      } catch (error) {
        if (this.stopped.signal.aborted) return;
        this.failures++;
        this.options.log.warn('a spare model server did not start', { error: messageOf(error) });
      } finally {
        this.starting--;
      }
    }
  }

  private async launch(): Promise<RuntimeProcess> {
    this.folder ??= socketFolder();
    const socket = join(await this.folder, `${++this.serial}.sock`);
    if (this.stopped.signal.aborted) throw new AppError('not_ready', 'the gateway is shutting down');
    const launching = launchRuntime({ ...this.options, socket });
    this.launching.add(launching);
    try {
      const runtime = await launching;
      this.all.add(runtime);
      void runtime.exited.then(() => this.all.delete(runtime));
      if (this.stopped.signal.aborted) runtime.kill();
      return runtime;
    } finally {
      this.launching.delete(launching);
    }
  }
}
