/** OrtSessionOptions out of a load's options. */
import { offThread, type Pointer } from '../foreign.js';
import type { Api, Out, Status } from './api.js';
import type { OrtLibrary } from './library.js';
import { preloadNvidia } from './nvidia.js';
import { levelNumber, modeNumber, type OnnxOptions } from './options.js';
import type { ProviderRequest } from './provider-options.js';
import { addressFrom, check, EP_FAIL, OrtError } from './status.js';

/** Makes the options of a session and hands them over; they are released afterwards. Throws an OrtError. */
export async function withSessionOptions<T>(
  { api }: OrtLibrary,
  options: OnnxOptions,
  use: (pointer: Pointer) => Promise<T>,
): Promise<T> {
  const pointer = addressFrom(api, (out) => api.createOptions(out));
  try {
    apply(api, pointer, options);
    return await use(pointer);
  } finally {
    api.releaseOptions(pointer);
  }
}

function apply(api: Api, pointer: Pointer, options: OnnxOptions): void {
  const { enableCpuMemArena, enableMemPattern } = options;
  check(api, api.setIntraOpThreads(pointer, options.intraOpNumThreads));
  check(api, api.setInterOpThreads(pointer, options.interOpNumThreads));
  check(api, api.setExecutionMode(pointer, modeNumber(options.executionMode)));
  check(api, api.setOptimizationLevel(pointer, levelNumber(options.graphOptimizationLevel)));
  check(api, (enableCpuMemArena ? api.enableCpuMemArena : api.disableCpuMemArena)(pointer));
  check(api, (enableMemPattern ? api.enableMemPattern : api.disableMemPattern)(pointer));
  check(api, api.setLogSeverity(pointer, options.logSeverityLevel));
  for (const [name, size] of Object.entries(options.freeDimensionOverrides))
    check(api, api.overrideDimension(pointer, name, size));
  for (const [key, value] of Object.entries(options.configEntries)) check(api, api.addConfigEntry(pointer, key, value));
}

/** Comes with NVIDIA's driver, never with a package. */
const DRIVER = 'libcuda.so.1';

/**
 * Adds an execution provider behind those that are there, loading its library where it has one of its own. Throws an
 * OrtError that says why it cannot be used.
 */
export async function appendProvider(
  library: OrtLibrary,
  options: Pointer,
  { name, settings }: ProviderRequest,
): Promise<void> {
  const { api } = library;
  const given = [Object.keys(settings), Object.values(settings), Object.keys(settings).length] as const;
  switch (name) {
    case 'cpu':
      // always there, behind all others
      return;
    case 'cuda':
    case 'tensorrt': {
      // without the driver nothing else needs to be loaded, and it is much
      if (!(await library.preload(DRIVER))) throw new OrtError(EP_FAIL, `${DRIVER}: cannot open shared object file`);
      await preloadNvidia(library);
      const [create, update, append, release] =
        name === 'cuda'
          ? [api.createCudaOptions, api.updateCudaOptions, api.appendCuda, api.releaseCudaOptions]
          : [api.createTensorRtOptions, api.updateTensorRtOptions, api.appendTensorRt, api.releaseTensorRtOptions];
      const own = addressFrom(api, (out: Out): Status => create(out));
      try {
        // loads the provider's library, and says why when it cannot; appending alone would not
        check(api, await offThread(update, own, ...given));
        check(api, append(options, own));
      } finally {
        release(own);
      }
      return;
    }
    case 'webgpu':
    case 'coreml': {
      const ortName = name === 'webgpu' ? 'WebGPU' : 'CoreML';
      check(api, await offThread(api.appendProvider, options, ortName, ...given));
    }
  }
}
