import { AppError, asAppError } from '../errors.js';
import type { Log } from '../log.js';
import { Batcher } from './batching/batcher.js';
import { readBatchPolicy } from './batching/policy.js';
import type { Engine, EngineOptions, Loaded } from './engine.js';
import type { FindEngine } from './engines.js';
import type { ModelMetrics, RuntimeMetrics } from './metrics.js';
import { StatisticsOfModel } from './statistics.js';
import { warmUp } from './warm-up.js';

/** Where a model comes from and what it is to be called. */
export interface ModelSource {
  readonly name: string;
  /** Shown in metadata and answers, and the only one that `/versions/{v}` reaches. */
  readonly version: string | undefined;
  readonly path: string;
  /** Which engine runs it. */
  readonly framework: string;
  readonly options: EngineOptions;
}

/** A model that answers. */
export interface LoadedModel {
  readonly source: ModelSource;
  /** What metadata calls its kind. */
  readonly platform: string;
  readonly loaded: Loaded;
  readonly engine: Engine;
  readonly batcher: Batcher;
  readonly statistics: StatisticsOfModel;
  readonly metrics: ModelMetrics;
}

/** What a load found out, and what it took, in milliseconds. */
export interface LoadReport {
  readonly device: string;
  readonly notes: readonly string[];
  /** Of the engine's library, which a spare has loaded before. */
  readonly libraryMs: number;
  readonly loadMs: number;
  readonly warmUpMs: number;
}

/** A line of the repository index. */
export interface ModelState {
  readonly name: string;
  readonly version?: string;
  readonly state: 'READY' | 'LOADING' | 'UNAVAILABLE';
  readonly reason: string;
}

/** The models of one process. Loads and unloads of one name happen one after the other. */
export class Models {
  private readonly loaded = new Map<string, LoadedModel>();
  private readonly states = new Map<string, ModelState>();
  private readonly sources = new Map<string, ModelSource>();
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(
    private readonly findEngine: FindEngine,
    private readonly defaults: EngineOptions,
    private readonly metrics: RuntimeMetrics,
    private readonly log: Log,
  ) {}

  get count(): number {
    return this.loaded.size;
  }

  /** The model that answers to this name and, when one is asked for, to this version; `not_found` otherwise. */
  get(name: string, version?: string): LoadedModel {
    const model = this.loaded.get(name);
    if (model && (version === undefined || version === model.source.version)) return model;
    if (!model) {
      const state = this.states.get(name)?.state;
      if (state === 'LOADING') throw new AppError('not_ready', `model "${name}" is loading`, { retryAfterSec: 1 });
      throw new AppError('not_found', `model "${name}" is not loaded`, { details: { model: name } });
    }
    throw new AppError(
      'not_found',
      `model "${name}" has no version "${version}"; loaded is ${model.source.version ?? 'one without a version'}`,
      { details: { model: name, version } },
    );
  }

  names(): string[] {
    return [...this.loaded.keys()];
  }

  all(): LoadedModel[] {
    return [...this.loaded.values()];
  }

  index(): ModelState[] {
    return [...this.states.values()];
  }

  /** The last source of a name, for a reload that does not repeat it. */
  sourceOf(name: string): ModelSource | undefined {
    return this.sources.get(name);
  }

  /** Loads a model. One of this name that answers goes on answering until the new one does, and if that one fails. */
  load(source: ModelSource): Promise<LoadReport> {
    return this.inTurn(source.name, async () => {
      const old = this.loaded.get(source.name);
      if (!old) this.setState(source, 'LOADING', '');
      try {
        const { model, report } = await this.open(source);
        this.loaded.set(source.name, model);
        this.sources.set(source.name, source);
        this.setState(source, 'READY', '');
        if (old) await this.release(old);
        return report;
      } catch (error) {
        const failure = asAppError(error);
        if (!old) this.setState(source, 'UNAVAILABLE', failure.message);
        throw failure;
      }
    });
  }

  private async open(source: ModelSource): Promise<{ model: LoadedModel; report: LoadReport }> {
    const { name, options } = source;
    const policy = readBatchPolicy(options);
    const began = performance.now();
    const kind = await this.findEngine(source.framework);
    await kind.importLibrary(this.defaults);
    const importedAt = performance.now();
    const { platform } = kind;
    const log = this.log.with({ model: name, version: source.version });
    const engine = kind.create(this.defaults, log);
    const loaded = await engine.load({ path: source.path }, options);
    const loadedAt = performance.now();
    try {
      await warmUp(engine, loaded, options);
    } catch (error) {
      await engine.unload();
      throw error;
    }
    const { device, notes } = loaded;
    const report = {
      device,
      notes,
      libraryMs: importedAt - began,
      loadMs: loadedAt - importedAt,
      warmUpMs: performance.now() - loadedAt,
    };
    const metrics = this.metrics.model(name);
    metrics.load(report.loadMs / 1000);
    log.info('model loaded', { ...report });
    const statistics = new StatisticsOfModel();
    const batcher = new Batcher({
      engine,
      loaded,
      policy,
      onRun: ({ rows, ms }) => {
        statistics.ran(rows, ms);
        metrics.inference(ms / 1000);
      },
      onRefusal: (reason) => log.warn('requests are not joined into batches any more', { reason }),
    });
    return { model: { source, platform, loaded, engine, batcher, statistics, metrics }, report };
  }

  /** Unloads a model once what is in flight has ended; new requests do not find it from now on. */
  unload(name: string): Promise<void> {
    return this.inTurn(name, async () => {
      const model = this.loaded.get(name);
      if (!model) throw new AppError('not_found', `model "${name}" is not loaded`, { details: { model: name } });
      this.loaded.delete(name);
      this.setState(model.source, 'UNAVAILABLE', 'unloaded');
      await this.release(model);
    });
  }

  private async release(model: LoadedModel): Promise<void> {
    await model.batcher.whenIdle();
    await model.engine.unload();
  }

  private setState({ name, version }: ModelSource, state: ModelState['state'], reason: string): void {
    this.states.set(name, { name, ...(version === undefined ? {} : { version }), state, reason });
  }

  private inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.turns.get(name) ?? Promise.resolve()).then(work, work);
    this.turns.set(
      name,
      turn.catch(() => undefined),
    );
    return turn;
  }
}
