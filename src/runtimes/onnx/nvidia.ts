/** NVIDIA's own libraries, where `sluice engines install onnx --cuda` has put them. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { OrtLibrary } from './library.js';

/**
 * By name, those first that others need. What the provider's library and its parts look for is found by name once it is
 * loaded, wherever it lies; so no search path has to be set before the process starts.
 */
const NEEDED = [
  ...['libcudart', 'libnvrtc', 'libnvJitLink', 'libcublasLt', 'libcublas', 'libcurand', 'libcufft'],
  ...['libcudnn_graph', 'libcudnn'],
];

const preloads = new WeakMap<OrtLibrary, Promise<void>>();

/** Loads them, once. One that does not load is left to the provider's library, whose message names what is missing. */
export function preloadNvidia(library: OrtLibrary): Promise<void> {
  let preload = preloads.get(library);
  if (!preload) {
    preload = loadAll(library);
    preloads.set(library, preload);
  }
  return preload;
}

async function loadAll({ folder, preload }: OrtLibrary): Promise<void> {
  const files = filesBelow(join(folder, '../../nvidia'));
  for (const name of NEEDED) {
    const file = files.find((path) => basename(path).startsWith(`${name}.so`));
    if (file !== undefined) await preload(file);
  }
}

/** The packages keep them in `nvidia/PACKAGE/lib`, or `nvidia/cu13/lib` for several. */
function filesBelow(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((name) => {
    const folder = join(root, name, 'lib');
    return existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : [];
  });
}
