import { AppError } from '../errors.js';
import type { Log } from '../log.js';
import { readJsonObject } from '../protocol/json-object.js';
import type { TensorSpec } from '../protocol/signature.js';
import type { EngineOptions } from './engine.js';
import type { FindEngine } from './engines.js';
import { infer } from './infer.js';
import { failure, json, type Respond, type RuntimeRequest, type RuntimeResponse } from './message.js';
import { createMetrics, type RuntimeMetrics } from './metrics.js';
import { type LoadedModel, type ModelSource, Models } from './models.js';
import { type InferRoute, type Route, routeOf } from './routes.js';

export interface ServerOptions {
  /** What server metadata says. */
  readonly name: string;
  readonly version: string;
  readonly findEngine: FindEngine;
  /** The framework of a load that names none. */
  readonly framework: string;
  /** Options of every load, which a load may override. */
  readonly defaults: EngineOptions;
  /** Whether clients may load and unload models: a spare's purpose, and nothing for a server of one fixed model. */
  readonly allowLoad: boolean;
  readonly log: Log;
}

const EXTENSIONS = ['binary_tensor_data', 'model_repository', 'model_configuration', 'statistics'];

/** The Open Inference Protocol over the models of this process, without any transport. Never throws from `handle`. */
export class ModelServer {
  readonly models: Models;
  readonly metrics: RuntimeMetrics;
  private inFlight = 0;
  private draining = false;
  private waiting: (() => void)[] = [];

  constructor(private readonly options: ServerOptions) {
    this.metrics = createMetrics(() => this.inFlight);
    this.models = new Models(options.findEngine, options.defaults, this.metrics, options.log);
  }

  /** Whether requests are answered: a model is loaded and the process is not on its way out. */
  get ready(): boolean {
    return !this.draining && this.models.count > 0;
  }

  /** Answers a request, once. */
  handle(request: RuntimeRequest, respond: Respond): void {
    const route = routeOf(request.method, request.path);
    if (route.kind === 'infer') this.infer(route, request, respond);
    else this.answer(route, request).then(respond, (error: unknown) => respond(failure(error)));
  }

  /** Refuses new work from now on; resolves true once what is in flight has been answered, false after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.draining = true;
    if (this.inFlight === 0) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  private infer(route: InferRoute, request: RuntimeRequest, respond: Respond): void {
    let model: LoadedModel;
    try {
      this.refuseWhileDraining();
      model = this.models.get(route.model, route.version);
    } catch (error) {
      const response = failure(error);
      this.metrics.model('').request(response.status);
      respond(response);
      return;
    }
    this.inFlight++;
    infer(model, route, request, (response) => {
      this.inFlight--;
      model.metrics.request(response.status);
      respond(response);
      if (this.inFlight === 0) for (const wake of this.waiting.splice(0)) wake();
    });
  }

  private async answer(route: Exclude<Route, InferRoute>, request: RuntimeRequest): Promise<RuntimeResponse> {
    switch (route.kind) {
      case 'server':
        return json({ name: this.options.name, version: this.options.version, extensions: EXTENSIONS });
      case 'live':
        return json({ live: true });
      case 'ready':
        return json({ ready: this.ready, live: true }, this.ready ? 200 : 503);
      case 'list':
        return json({ models: this.models.names() });
      case 'index':
        return json(this.index(request.body));
      case 'metrics': {
        const { contentType, text } = await this.metrics.print();
        return { status: 200, headers: { 'content-type': contentType }, body: Buffer.from(text) };
      }
      case 'modelReady': {
        this.refuseWhileDraining();
        const { source } = this.models.get(route.model, route.version);
        return json({ name: source.name, ready: true });
      }
      case 'metadata':
        return json(this.metadata(this.models.get(route.model, route.version)));
      case 'statistics':
        return json({ model_stats: this.statistics(route.model, route.version) });
      case 'config':
        return json(configOf(this.models.get(route.model, route.version)));
      case 'load': {
        this.refuseWhileDraining();
        this.refuseUnlessLoadable();
        const last = this.models.sourceOf(route.model);
        const report = await this.models.load(readSource(route.model, request.body, this.options.framework, last));
        const { libraryMs, loadMs, warmUpMs, device, notes } = report;
        return json({ library_ms: libraryMs, load_ms: loadMs, warm_up_ms: warmUpMs, device, notes });
      }
      case 'unload':
        this.refuseUnlessLoadable();
        await this.models.unload(route.model);
        return json({});
      case 'unknown':
        throw new AppError('not_found', `there is nothing at ${request.method} ${request.path.slice(0, 200)}`);
    }
  }

  private metadata({ source, platform, loaded: { signature, device, notes } }: LoadedModel) {
    return {
      name: source.name,
      ...(source.version === undefined ? {} : { versions: [source.version] }),
      platform,
      inputs: signature.inputs,
      outputs: signature.outputs,
      properties: { device, ...(notes.length > 0 ? { notes: notes.join(' ') } : {}) },
    };
  }

  private statistics(name: string | undefined, version: string | undefined) {
    const models = name === undefined ? this.models.all() : [this.models.get(name, version)];
    return models.map(({ source, statistics }) => statistics.print(source.name, source.version));
  }

  private index(body: Buffer) {
    const onlyReady = readJsonObject(body).ready === true;
    return this.models.index().filter((model) => !onlyReady || model.state === 'READY');
  }

  private refuseWhileDraining(): void {
    if (this.draining) throw new AppError('not_ready', 'the server is shutting down', { retryAfterSec: 1 });
  }

  private refuseUnlessLoadable(): void {
    if (this.options.allowLoad) return;
    throw new AppError('forbidden', 'this server was started with a fixed model; it loads and unloads no others');
  }
}

/** What the model configuration extension tells, as far as it means something here. */
function configOf({ source, platform, loaded, batcher }: LoadedModel) {
  const tensor = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`,
    dims: loaded.batchable ? shape.slice(1) : shape,
  });
  return {
    name: source.name,
    platform,
    backend: source.framework,
    max_batch_size: loaded.batchable ? batcher.policy.maxRows : 0,
    input: loaded.signature.inputs.map(tensor),
    output: loaded.signature.outputs.map(tensor),
    instance_group: [{ count: loaded.lanes, kind: loaded.device === 'cpu' ? 'KIND_CPU' : 'KIND_GPU' }],
    dynamic_batching: {
      preferred_batch_size: batcher.policy.preferredRows,
      max_queue_delay_microseconds: Math.round(batcher.policy.delayMs * 1000),
    },
  };
}

/** Where a load request says the model is. Without a path, it is a reload of what was loaded under this name before. */
function readSource(name: string, body: Buffer, defaultFramework: string, last: ModelSource | undefined): ModelSource {
  const { path, version, options, framework = defaultFramework } = readParameters(body);
  if (path === undefined && last) return last;
  if (typeof path !== 'string' || path === '') {
    throw new AppError('invalid', `load of "${name}": parameters.path is missing; it names the model's file or folder`);
  }
  if (version !== undefined && typeof version !== 'string' && typeof version !== 'number') {
    throw new AppError('invalid', `load of "${name}": parameters.version is ${typeof version}, expected a string`);
  }
  if (options !== undefined && (typeof options !== 'object' || options === null || Array.isArray(options))) {
    throw new AppError('invalid', `load of "${name}": parameters.options is not an object`);
  }
  if (typeof framework !== 'string') {
    throw new AppError('invalid', `load of "${name}": parameters.framework is ${typeof framework}, expected a string`);
  }
  const shownVersion = version === undefined ? undefined : String(version);
  return { name, version: shownVersion, path, framework, options: (options ?? {}) as EngineOptions };
}

function readParameters(body: Buffer): Readonly<Record<string, unknown>> {
  const parameters = readJsonObject(body).parameters ?? {};
  if (typeof parameters === 'object' && !Array.isArray(parameters)) return parameters as Record<string, unknown>;
  throw new AppError('invalid', '"parameters" is not an object');
}
