import { AppError } from '../../errors.js';
import type { EngineOptions } from '../engine.js';
import { readThreads } from '../engine-options.js';

/** What a load of a Python model may set. */
export interface PythonOptions {
  /** Path or name of the interpreter; its environment has what the model needs. Default `python3`. */
  readonly python: string;
  /** Processes that each hold the model and answer one request at a time. Default 1: replicas are what scales. */
  readonly workers: number;
  /** Threads of numeric libraries in each worker. */
  readonly threads: number;
  /** How long one inference may take before its worker is killed; undefined: for ever. */
  readonly timeoutMs: number | undefined;
}

/** Longest that a timer can count. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Reads the options of a load; names that are not ours are left to others. */
export function readOptions(options: EngineOptions): PythonOptions {
  return {
    python: readPython(options.python ?? 'python3'),
    workers: readInteger('workers', options.workers ?? 1, 256),
    threads: readThreads(options, 'intraOpNumThreads'),
    timeoutMs:
      options.timeoutMs === undefined ? undefined : readInteger('timeoutMs', options.timeoutMs, MAX_TIMEOUT_MS),
  };
}

function readPython(value: unknown): string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw new AppError('invalid', `option python is ${JSON.stringify(value)}, expected the path of an interpreter`);
}

function readInteger(name: string, value: unknown, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new AppError('invalid', `option ${name} is ${JSON.stringify(value)}, expected an integer from 1 to ${most}`);
}
