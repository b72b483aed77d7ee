import { AppError } from '../errors.js';
import type { EngineKind } from './engine.js';

/** Each engine by the framework of the models that it runs; its code is imported when it is first needed. */
const KINDS = {
  onnx: async (): Promise<EngineKind> => (await import('./onnx/engine.js')).onnx,
  tensorflow: async (): Promise<EngineKind> => (await import('./tensorflow/engine.js')).tensorflow,
  python: async (): Promise<EngineKind> => (await import('./python/engine.js')).python,
};

/** A framework that this program has an engine for. */
export type Framework = keyof typeof KINDS;

export const FRAMEWORKS = Object.keys(KINDS) as readonly Framework[];

/** Finds the engine of a framework. */
export type FindEngine = (framework: string) => Promise<EngineKind>;

export const findEngine: FindEngine = (framework) => {
  if (Object.hasOwn(KINDS, framework)) return KINDS[framework as Framework]();
  throw new AppError(
    'unsupported',
    `framework is "${framework.slice(0, 60)}", this server runs ${FRAMEWORKS.join(', ')}`,
    { details: { framework } },
  );
};
