import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Tensor } from '../../protocol/tensor.js';
import type { Engine, EngineKind, EngineOptions, InferCall, Loaded, ModelFiles } from '../engine.js';
import { readOptions } from './options.js';
import { WorkerPool } from './worker-pool.js';

/** Python models of any kind, in processes of the interpreter that the options name. See docs/python-models.md. */
export const python: EngineKind = {
  platform: 'python',
  // which interpreter it will be is known at load
  async importLibrary() {},
  create: (defaults, log) => new PythonEngine(defaults, log),
};

class PythonEngine implements Engine {
  private pool: WorkerPool | undefined;

  constructor(
    private readonly defaults: EngineOptions,
    private readonly log: Log | undefined,
  ) {}

  async load(files: ModelFiles, options: EngineOptions): Promise<Loaded> {
    // the worker makes the folder its working folder, from where a relative path would lead elsewhere
    const path = resolve(files.path);
    const { python, workers, threads, timeoutMs } = readOptions({ ...this.defaults, ...options });
    const found = await stat(path).catch(() => undefined);
    if (!found) throw new AppError('not_found', `there is no model at "${path}"`, { details: { path } });
    const { pool, loaded } = await WorkerPool.start({ python, path, threads, workers, timeoutMs, log: this.log });
    this.pool = pool;
    const { inputs, outputs, open, batchable, device, notes } = loaded;
    return { signature: { inputs, outputs }, open, batchable, lanes: workers, device, notes };
  }

  infer(call: InferCall): Promise<Tensor[]> {
    return this.ask('predict', call);
  }

  explain(call: InferCall): Promise<Tensor[]> {
    return this.ask('explain', call);
  }

  async unload(): Promise<void> {
    const pool = this.pool;
    this.pool = undefined;
    await pool?.close();
  }

  private async ask(kind: 'predict' | 'explain', { inputs, outputs }: InferCall): Promise<Tensor[]> {
    if (!this.pool) throw new AppError('not_ready', 'the model is not loaded');
    const reply = await this.pool.ask({ kind, outputs: outputs ?? null }, inputs);
    if (reply.kind === 'result') return [...reply.outputs];
    throw new AppError('internal', `the worker answered "${reply.kind}" to ${kind}`);
  }
}
