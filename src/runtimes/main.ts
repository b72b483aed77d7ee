/**
 * A model server process: one engine, one model or none yet, behind frames on a Unix socket, HTTP, or both. Its start is
 * part of every cold start that no spare covers, so nothing is imported here that the first request does not need.
 */
import { AppError, messageOf } from '../errors.js';
import { createLog, type Log } from '../log.js';
import type { RuntimeMessage } from '../protocol/runtime-message.js';
import { type RuntimeArgs, readArgs, USAGE } from './args.js';
import type { EngineOptions } from './engine.js';
import { findEngine } from './engines.js';
import { type Door, openFrameDoor } from './frame-door.js';
import { onnx } from './onnx/engine.js';
import { rehearse } from './rehearse.js';
import { ModelServer } from './server.js';
import { stopWhenTold } from './stop.js';

/** When a server with a model gets its metrics ready, after it can answer. */
const METRICS_DELAY_MS = 1000;

function tell(message: RuntimeMessage): void {
  // a parent that is gone is noticed by 'disconnect'
  if (process.connected) process.send?.(message, () => undefined);
}

async function main(): Promise<void> {
  const args = readArgs(process.argv.slice(2));
  const log = createLog({ level: args.logLevel, format: process.stderr.isTTY ? 'text' : 'json' });
  const defaults: EngineOptions = {
    intraOpNumThreads: args.threads,
    libraryPath: args.tensorflowLibrary,
    onnxLibrary: args.onnxLibrary,
    poolThreads: args.poolThreads,
    ...args.options,
  };
  const server = new ModelServer({
    name: 'sluice-runtime',
    version: '0.1.0',
    findEngine,
    framework: args.engine,
    defaults,
    allowLoad: args.allowLoad,
    log,
  });
  const doors: Door[] = [];
  stopWhenTold(server, doors, args.drainMs, log);
  // a parent that died
  process.on('disconnect', () => process.exit(0));
  const loading = args.model === undefined ? undefined : load(server, args, args.model);
  // reported below; until then it must not count as unhandled
  loading?.catch(() => undefined);
  const port = await open(server, args, doors, log);
  tell({ kind: 'listening', http: port ?? null, socket: args.socket ?? null });
  log.info('listening', { http: port, socket: args.socket, model: args.model });
  if (loading) {
    tell({ kind: 'ready', loadMs: await loading });
    // the first requests are about to come and shall not wait for this
    setTimeout(() => void server.metrics.prepare(), METRICS_DELAY_MS).unref();
    return;
  }
  const started = performance.now();
  const kind = await findEngine(args.engine);
  await kind.importLibrary(defaults);
  // a load that came meanwhile is a cold start under way: it gets the processor, and warms up by itself
  if (kind === onnx && (await stillUnused(server))) await rehearse(onnx, defaults);
  if (await stillUnused(server)) await server.metrics.prepare();
  else setTimeout(() => void server.metrics.prepare(), METRICS_DELAY_MS).unref();
  tell({ kind: 'ready', loadMs: performance.now() - started });
}

/** Whether nobody has asked for a load yet, after another look at the sockets. */
async function stillUnused(server: ModelServer): Promise<boolean> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  return server.models.index().length === 0;
}

async function load(server: ModelServer, args: RuntimeArgs, path: string): Promise<number> {
  const started = performance.now();
  await server.models.load({ name: args.name, version: args.version, path, framework: args.engine, options: {} });
  return performance.now() - started;
}

async function open(server: ModelServer, args: RuntimeArgs, doors: Door[], log: Log): Promise<number | undefined> {
  if (args.socket !== undefined) doors.push(await openFrameDoor(server, args.socket, args.maxBodyBytes, log));
  if (args.http === undefined) return undefined;
  const { openHttpDoor } = await import('./http-door.js');
  const door = await openHttpDoor(server, args.http.host, args.http.port, args.maxBodyBytes);
  doors.push(door);
  return door.port;
}

main().catch((error: unknown) => {
  tell({ kind: 'failed', error: messageOf(error) });
  const usage = error instanceof AppError && process.argv.length <= 2 ? USAGE : '';
  process.stderr.write(`sluice runtime: ${messageOf(error)}\n${usage}`, () => process.exit(1));
});
