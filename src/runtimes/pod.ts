/**
 * The program of a model server's pod: asks a gateway which model it is there for, fetches it, and serves it over HTTP.
 * It answers from its first moment, that it lives and is not ready. See docs/pods-api.md.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf } from '../errors.js';
import { createLog, type Log } from '../log.js';
import type { EngineOptions } from './engine.js';
import { findEngine } from './engines.js';
import type { Door } from './frame-door.js';
import { openHttpDoor } from './http-door.js';
import { type PodArgs, readPodArgs, USAGE } from './pod/args.js';
import { Gateway, type PodModel } from './pod/gateway.js';
import { ModelStore } from './pod/model-store.js';
import { ModelServer } from './server.js';
import { stopWhenTold } from './stop.js';

/** When it gets its metrics ready, after it can answer. */
const METRICS_DELAY_MS = 1000;
/** Kubernetes keeps no more of why a container ended. */
const LAST_WORDS_BYTES = 4096;

/** Known once its arguments are. */
let terminationLog: string | undefined;

async function main(): Promise<void> {
  const args = readPodArgs(process.argv.slice(2));
  terminationLog = args.terminationLog;
  const log = createLog({ level: args.logLevel, format: process.stderr.isTTY ? 'text' : 'json' });
  const defaults: EngineOptions = {
    libraryPath: args.tensorflowLibrary,
    onnxLibrary: args.onnxLibrary,
    poolThreads: args.poolThreads,
    python: args.python,
    ...args.options,
  };
  const server = new ModelServer({
    name: 'sluice-runtime',
    version: '0.1.0',
    findEngine,
    framework: 'onnx',
    defaults,
    allowLoad: false,
    log,
  });
  const doors: Door[] = [];
  stopWhenTold(server, doors, args.drainMs, log);
  const door = await openHttpDoor(server, args.http.host, args.http.port, args.maxBodyBytes);
  doors.push(door);
  log.info('listening', { http: door.port });
  await serve(server, defaults, args, log);
  // the first requests are about to come and shall not wait for this
  setTimeout(() => void server.metrics.prepare(), METRICS_DELAY_MS).unref();
}

/** From nothing to a model that answers, and how long each part of it took. */
async function serve(server: ModelServer, defaults: EngineOptions, args: PodArgs, log: Log): Promise<void> {
  const processMs = performance.now();
  const gateway = new Gateway(args.podsUrl, args.tokenFile, log);
  const { value: model, ms: askMs } = await timed(gateway.model());
  const { name, version, framework, options } = model;
  const kind = await findEngine(framework);
  const store = new ModelStore({ folder: args.models, maxBytes: args.cacheBytes, gateway });
  // the library comes from the image while the model comes from the network
  const [library, fetched] = await Promise.all([timed(kind.importLibrary(defaults)), timed(store.fetch(model))]);
  const { path: folder, fetchedBytes, foundBytes } = fetched.value;
  const path = entryOf(model, folder);
  const report = await server.models.load({ name, version, path, framework, options });
  const phases = {
    process: processMs,
    ask: askMs,
    fetch: fetched.ms,
    library: library.ms,
    load: report.loadMs,
    warmup: report.warmUpMs,
    total: performance.now(),
  };
  server.metrics.started(phases);
  log.info('ready', { model: name, version, ...rounded(phases), fetchedBytes, foundBytes });
}

function entryOf({ entry }: PodModel, folder: string): string {
  return entry === '' ? folder : join(folder, entry);
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const began = performance.now();
  return { value: await work, ms: performance.now() - began };
}

function rounded(phases: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(phases).map(([phase, ms]) => [`${phase}Ms`, Math.round(ms * 10) / 10]));
}

/** Says why it cannot serve where people look for it, and where Kubernetes does. */
async function fail(error: unknown): Promise<void> {
  const message = messageOf(error);
  if (terminationLog !== undefined) {
    const words = Buffer.from(message).subarray(0, LAST_WORDS_BYTES);
    // outside of a pod there is none, and none is made
    await writeFile(terminationLog, words, { flag: 'r+' }).catch(() => undefined);
  }
  const usage = error instanceof AppError && process.argv.length <= 2 ? USAGE : '';
  process.stderr.write(`sluice pod: ${message}\n${usage}`, () => process.exit(1));
}

main().catch(fail);
