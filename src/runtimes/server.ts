import { AppError, asAppError, WIRE } from '../errors.js';
import type { Log } from '../log.js';
import { type InferRequest, wantsBinary } from '../protocol/infer.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferRequest } from '../protocol/v2-json.js';
import { printInferResponse } from '../protocol/v2-print.js';
import { checkInputs, checkOutputs } from './check.js';
import type { EngineOptions } from './engine.js';
import type { FindEngine } from './engines.js';
import { createMetrics, type RuntimeMetrics } from './metrics.js';
import { type LoadedModel, type ModelSource, Models } from './models.js';
import { type Route, routeOf } from './routes.js';
import type { Cancellation } from './schedule.js';

/** A request, whichever door it came through. Header names in lower case. */
export interface RuntimeRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Aborted when the one who asked has gone: work that has not started is then dropped. */
  readonly signal: Cancellation;
}

export interface RuntimeResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

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

/** The headers of every plain JSON answer: one object, so that a door may know it by identity. */
export const JSON_HEADERS: Readonly<Record<string, string>> = Object.freeze({ 'content-type': 'application/json' });

const EXTENSIONS = ['binary_tensor_data', 'model_repository'];
const NO_BODY = Buffer.alloc(0);

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

  async handle(request: RuntimeRequest): Promise<RuntimeResponse> {
    try {
      return await this.answer(routeOf(request.method, request.path), request);
    } catch (error) {
      return failure(error);
    }
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

  private async answerInfer(name: string, version: string | undefined, request: RuntimeRequest) {
    this.inFlight++;
    let known = '';
    let response: RuntimeResponse;
    try {
      this.refuseWhileDraining();
      const model = this.models.get(name, version);
      known = model.source.name;
      response = await infer(model, request);
    } catch (error) {
      response = failure(error);
    }
    this.inFlight--;
    this.metrics.request(known, response.status);
    if (this.inFlight === 0) for (const wake of this.waiting.splice(0)) wake();
    return response;
  }

  private async answer(route: Route, request: RuntimeRequest): Promise<RuntimeResponse> {
    switch (route.kind) {
      case 'infer':
        return this.answerInfer(route.model, route.version, request);
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
      case 'load': {
        this.refuseWhileDraining();
        this.refuseUnlessLoadable();
        const last = this.models.sourceOf(route.model);
        await this.models.load(readSource(route.model, request.body, this.options.framework, last));
        return json({});
      }
      case 'unload':
        this.refuseUnlessLoadable();
        await this.models.unload(route.model);
        return json({});
      case 'unknown':
        throw new AppError('not_found', `there is nothing at ${request.method} ${request.path.slice(0, 200)}`);
    }
  }

  private metadata({ source, platform, loaded: { signature } }: LoadedModel) {
    return {
      name: source.name,
      ...(source.version === undefined ? {} : { versions: [source.version] }),
      platform,
      inputs: signature.inputs,
      outputs: signature.outputs,
    };
  }

  private index(body: Buffer) {
    const onlyReady = readObject(body).ready === true;
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

async function infer(model: LoadedModel, request: RuntimeRequest): Promise<RuntimeResponse> {
  const { source, loaded, engine, schedule } = model;
  const { signature } = loaded;
  const headerLength = parseHeaderLength(header(request, HEADER_LENGTH));
  const asked = parseInferRequest(request.body, { headerLength, signature });
  const names = asked.outputs?.map((output) => output.name);
  if (!loaded.open) {
    checkInputs(signature, asked.inputs, loaded.dimensionNames);
    if (names) checkOutputs(signature, names);
  }
  const call = { inputs: asked.inputs, outputs: names, signature: undefined };
  const outputs = await schedule.submit(request.signal, () => engine.infer(call));
  const response = { modelName: source.name, modelVersion: source.version, id: asked.id, outputs };
  const printed = printInferResponse(response, binaryChoice(asked));
  if (printed.headerLength === undefined) return { status: 200, headers: JSON_HEADERS, body: printed.body };
  const headers = { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(printed.headerLength) };
  return { status: 200, headers, body: printed.body };
}

const never = () => false;

/** Asked for once a tensor; most requests ask for no binary at all. */
function binaryChoice(request: InferRequest): (output: string) => boolean {
  if (request.outputs === undefined && request.parameters.binary_data_output === undefined) return never;
  return (output) => wantsBinary(request, output);
}

function header(request: RuntimeRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
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
  const parameters = readObject(body).parameters ?? {};
  if (typeof parameters === 'object' && !Array.isArray(parameters)) return parameters as Record<string, unknown>;
  throw new AppError('invalid', '"parameters" is not an object');
}

function readObject(body: Buffer): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {};
  let root: unknown;
  try {
    root = JSON.parse(body.toString('utf8'));
  } catch {
    throw new AppError('invalid', 'the body is not JSON');
  }
  if (typeof root === 'object' && root !== null && !Array.isArray(root)) return root as Record<string, unknown>;
  throw new AppError('invalid', 'the body is not a JSON object');
}

function json(value: unknown, status = 200): RuntimeResponse {
  return { status, headers: JSON_HEADERS, body: Buffer.from(JSON.stringify(value), 'utf8') };
}

/** Any thrown value as the protocol's error answer. */
export function failure(thrown: unknown): RuntimeResponse {
  const error = asAppError(thrown);
  const retryAfter = error.retryAfterSec === undefined ? {} : { 'retry-after': String(error.retryAfterSec) };
  return {
    status: WIRE[error.code].http,
    headers: error.retryAfterSec === undefined ? JSON_HEADERS : { ...JSON_HEADERS, ...retryAfter },
    body: error.code === 'cancelled' ? NO_BODY : Buffer.from(JSON.stringify({ error: error.message }), 'utf8'),
  };
}
