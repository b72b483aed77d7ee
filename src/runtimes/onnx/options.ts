import { AppError } from '../../errors.js';
import type { EngineOptions } from '../engine.js';
import { readThreads } from '../engine-options.js';

/** What a load of an ONNX model may set. */
export interface OnnxOptions {
  /** Threads inside one operator. 1 by default: replicas are what scales, and one thread is the cheapest per request. */
  readonly intraOpNumThreads: number;
  /** Threads across operators. */
  readonly interOpNumThreads: number;
  readonly graphOptimizationLevel: (typeof LEVELS)[number];
  /** In order of preference, such as `cuda` before `cpu`. */
  readonly executionProviders: readonly string[];
}

const LEVELS = ['disabled', 'basic', 'extended', 'layout', 'all'] as const;

/** Reads the options of a load; names that are not ours are left to others. */
export function readOptions(options: EngineOptions): OnnxOptions {
  return {
    intraOpNumThreads: readThreads(options, 'intraOpNumThreads'),
    interOpNumThreads: readThreads(options, 'interOpNumThreads'),
    graphOptimizationLevel: readLevel(options.graphOptimizationLevel),
    executionProviders: readProviders(options.executionProviders),
  };
}

function readLevel(value: unknown): OnnxOptions['graphOptimizationLevel'] {
  const level = LEVELS.find((known) => known === (value ?? 'all'));
  if (level) return level;
  throw new AppError(
    'invalid',
    `option graphOptimizationLevel is ${JSON.stringify(value)}, expected one of ${LEVELS.join(', ')}`,
  );
}

function readProviders(value: unknown): string[] {
  const names = value ?? ['cpu'];
  if (Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string')) return names;
  throw new AppError('invalid', `option executionProviders is ${JSON.stringify(value)}, expected a list of names`);
}
