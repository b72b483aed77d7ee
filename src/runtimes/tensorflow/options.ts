import { AppError } from '../../errors.js';
import { ProtoWriter } from '../../protocol/protobuf/writer.js';
import type { EngineOptions } from '../engine.js';
import { readThreads } from '../engine-options.js';

/** What a load of a SavedModel may set. */
export interface TensorFlowOptions {
  /** Threads inside one operation. The first model of a process decides for all: TensorFlow keeps one pool for them. */
  readonly intraOpNumThreads: number;
  /** Operations of one inference that run at once; with 1 they all run on the thread that the inference was given. */
  readonly interOpNumThreads: number;
  /** `auto`: a GPU where TensorFlow finds one. `gpu`: the same, and a note when there is none. */
  readonly device: (typeof DEVICES)[number];
  /** Share of each GPU's memory that may be taken, above 0 and at most 1; undefined: what is needed, as it grows. */
  readonly gpuMemoryFraction: number | undefined;
}

const DEVICES = ['auto', 'cpu', 'gpu'] as const;

/** Threads that libuv runs calls on, unless the environment says otherwise; more inferences at once would only wait. */
const POOL_THREADS = 4;

/** Reads the options of a load; names that are not ours are left to others. */
export function readOptions(options: EngineOptions): TensorFlowOptions {
  return {
    intraOpNumThreads: readThreads(options, 'intraOpNumThreads'),
    interOpNumThreads: readThreads(options, 'interOpNumThreads'),
    device: readDevice(options.device ?? 'auto'),
    gpuMemoryFraction: readFraction(options.gpuMemoryFraction),
  };
}

/** Inferences worth having in flight: as many as there are threads to compute them. */
export function lanesOf({ intraOpNumThreads, interOpNumThreads }: TensorFlowOptions): number {
  return Math.min(POOL_THREADS, Math.max(intraOpNumThreads, interOpNumThreads));
}

/** The ConfigProto of a session (tensorflow/core/protobuf/config.proto). */
export function sessionConfig(options: TensorFlowOptions): Buffer {
  const config = new ProtoWriter();
  if (options.device === 'cpu') {
    // device_count, a map: no GPU
    const count = new ProtoWriter();
    count.string(1, 'GPU');
    count.int32(2, 0);
    config.message(1, count);
  }
  config.int32(2, options.intraOpNumThreads);
  config.int32(5, options.interOpNumThreads);
  const gpu = new ProtoWriter();
  if (options.gpuMemoryFraction !== undefined) gpu.double(1, options.gpuMemoryFraction);
  // without this one process takes a GPU's whole memory, and its neighbours get none
  gpu.bool(4, true);
  config.message(6, gpu);
  // allow_soft_placement: what was placed on a GPU at export runs on the CPU where there is none
  config.bool(7, true);
  // use_per_session_threads: threads between operations are this session's own, whatever was loaded before
  config.bool(9, true);
  return config.finish();
}

/**
 * The RunOptions of each inference. With one thread between operations they run on the calling thread (inter_op_thread_pool
 * is -1), which saves two changes of thread and lets inferences at once run at once.
 */
export function runOptions(options: TensorFlowOptions): Buffer | undefined {
  if (options.interOpNumThreads > 1) return undefined;
  const run = new ProtoWriter();
  run.int32(3, -1);
  return run.finish();
}

function readDevice(value: unknown): TensorFlowOptions['device'] {
  const device = DEVICES.find((known) => known === value);
  if (device) return device;
  throw new AppError('invalid', `option device is ${JSON.stringify(value)}, expected one of ${DEVICES.join(', ')}`);
}

function readFraction(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value > 0 && value <= 1) return value;
  throw new AppError(
    'invalid',
    `option gpuMemoryFraction is ${JSON.stringify(value)}, expected a number above 0 and at most 1`,
  );
}
