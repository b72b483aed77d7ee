/** Readers of engine options that several engines have. */
import { AppError } from '../errors.js';
import type { EngineOptions } from './engine.js';

/** A count of threads; 1 where the option is not given. */
export function readThreads(options: EngineOptions, name: 'intraOpNumThreads' | 'interOpNumThreads'): number {
  const value = options[name] ?? 1;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1024) return value;
  throw new AppError('invalid', `option ${name} is ${JSON.stringify(value)}, expected an integer from 1 to 1024`);
}
