/** The TensorFlow engine in the test's own process. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach } from 'vitest';
import type { Tensor } from '../../src/protocol/tensor.js';
import type { Engine, EngineOptions, Loaded } from '../../src/runtimes/engine.js';
import { tensorflow } from '../../src/runtimes/tensorflow/engine.js';
import { type Graph, placeholder, writeSavedModel } from './tensorflow.js';

/** Writes SavedModels and loads them with the library in a folder; what was loaded is unloaded after each test. */
export function useTensorFlow(library: string | undefined) {
  const base = mkdtempSync(join(tmpdir(), 'sluice-tf-'));
  const loaded: Engine[] = [];
  let models = 0;
  afterEach(async () => {
    for (const engine of loaded.splice(0)) await engine.unload();
  });
  afterAll(() => rmSync(base, { recursive: true, force: true }));

  const write = (graph: Graph): Promise<string> => writeSavedModel(join(base, String(++models)), graph);
  const loadFrom = async (
    path: string,
    options: EngineOptions = {},
  ): Promise<{ engine: Engine; described: Loaded }> => {
    const engine = tensorflow.create({ libraryPath: library, intraOpNumThreads: 1 });
    const described = await engine.load({ path }, options);
    loaded.push(engine);
    return { engine, described };
  };
  return {
    folder: () => base,
    write,
    loadFrom,
    load: async (graph: Graph, options?: EngineOptions) => loadFrom(await write(graph), options),
  };
}

export function infer(engine: Engine, inputs: readonly Tensor[], outputs?: readonly string[], signature?: string) {
  return engine.infer({ inputs, outputs, signature });
}

/** y = x, of one type and any shape. */
export function identity(type: number, shape: readonly number[] | 'unknown' = 'unknown'): Graph {
  return {
    nodes: [placeholder('x', type, shape), { name: 'y', op: 'Identity', inputs: ['x'], attributes: { T: { type } } }],
    signatures: {
      serving_default: {
        inputs: { x: { tensor: 'x:0', type, shape } },
        outputs: { y: { tensor: 'y:0', type, shape } },
      },
    },
  };
}
