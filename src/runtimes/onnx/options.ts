/** What a load of an ONNX model may set, read and checked. Names that are not ours are left to others. */
import { availableParallelism } from 'node:os';
import { AppError } from '../../errors.js';
import type { EngineOptions } from '../engine.js';
import { readConfigEntries } from './config-entries.js';
import { type ProviderRequest, readProviders } from './provider-options.js';

export interface OnnxOptions {
  /** Inferences that compute at the same time. */
  readonly instances: number;
  /**
   * Threads inside one operator. 1 by default: replicas are what scales, and one thread is the cheapest per request.
   * 0 asks for as many as the machine's cores leave each instance.
   */
  readonly intraOpNumThreads: number;
  /** Threads across operators, where the execution mode is parallel. */
  readonly interOpNumThreads: number;
  readonly executionMode: (typeof MODES)[number];
  readonly graphOptimizationLevel: (typeof LEVELS)[number];
  readonly enableCpuMemArena: boolean;
  readonly enableMemPattern: boolean;
  /** Sizes of variable dimensions, by their names. */
  readonly freeDimensionOverrides: Readonly<Record<string, number>>;
  /** Session configuration by ONNX Runtime's own keys. */
  readonly configEntries: Readonly<Record<string, string>>;
  /** 0 verbose, 1 info, 2 warnings, 3 errors, 4 fatal errors alone; on the process's stderr. */
  readonly logSeverityLevel: number;
  readonly device: (typeof DEVICES)[number];
  /** In order of preference; undefined: as the device has it. */
  readonly providers: readonly ProviderRequest[] | undefined;
}

const MODES = ['sequential', 'parallel'] as const;
/** ONNX Runtime's numbers are 0, 1, 2, 3 and 99. */
const LEVELS = ['disabled', 'basic', 'extended', 'layout', 'all'] as const;
const DEVICES = ['auto', 'cpu', 'gpu'] as const;

/** Options of ONNX Runtime's bindings that users may bring along, and why they are not to be had. */
const REFUSED: Readonly<Record<string, string>> = {
  optimizedModelFilePath: 'it would write into the file system of the model server',
  enableProfiling: 'it would write into the file system of the model server',
  profileFilePrefix: 'it would write into the file system of the model server',
  externalData: "external data is found beside the model's file",
  preferredOutputLocation: 'answers are sent from the memory of the processor',
  enableGraphCapture: 'requests differ in shape',
  freeDimensionOverridesByDenotation: 'name the dimension in freeDimensionOverrides',
};

export function readOptions(options: EngineOptions): OnnxOptions {
  for (const [name, reason] of Object.entries(REFUSED)) {
    if (options[name] !== undefined) throw new AppError('unsupported', `option ${name} is not offered: ${reason}`);
  }
  const instances = readInteger(options, 'instances', 1, 1, 64);
  const threads = readInteger(options, 'intraOpNumThreads', 1, 0, 1024);
  return {
    instances,
    intraOpNumThreads: threads === 0 ? threadsPerInstance(availableParallelism(), instances) : threads,
    interOpNumThreads: readInteger(options, 'interOpNumThreads', 1, 1, 1024),
    executionMode: readWord(options, 'executionMode', MODES, 'sequential'),
    graphOptimizationLevel: readWord(options, 'graphOptimizationLevel', LEVELS, 'all'),
    enableCpuMemArena: readFlag(options, 'enableCpuMemArena', true),
    enableMemPattern: readFlag(options, 'enableMemPattern', true),
    freeDimensionOverrides: readDimensions(options.freeDimensionOverrides),
    configEntries: readConfigEntries(options.extra),
    logSeverityLevel: readInteger(options, 'logSeverityLevel', 4, 0, 4),
    device: readWord(options, 'device', DEVICES, 'auto'),
    providers: readProviders(options.executionProviders),
  };
}

/** Threads that runs off the main thread get, where the process was not started with another number. */
const POOL_THREADS = 4;

/** Inferences worth having in flight: as many as there are threads for, when there is to be more than one. */
export function lanesOf({ instances }: OnnxOptions, { poolThreads = POOL_THREADS }: EngineOptions): number {
  return Math.min(instances, Number(poolThreads));
}

/** What is to be said of threads and instances that do not fit the machine. */
export function threadNotes(options: OnnxOptions, lanes: number, cores: number): readonly string[] {
  const { instances, intraOpNumThreads } = options;
  const notes: string[] = [];
  if (lanes < instances) notes.push(`${instances} instances were asked for: ${lanes} compute at the same time here.`);
  if (intraOpNumThreads > threadsPerInstance(cores, lanes))
    notes.push(`${lanes} × ${intraOpNumThreads} threads compute on ${cores} cores: they will wait for one another.`);
  return notes;
}

/** Threads that each instance may keep busy when all of them compute. */
export function threadsPerInstance(cores: number, instances: number): number {
  return Math.max(1, Math.floor(cores / instances));
}

/** ONNX Runtime's numbers (GraphOptimizationLevel, ExecutionMode). */
export function levelNumber(level: OnnxOptions['graphOptimizationLevel']): number {
  return level === 'all' ? 99 : LEVELS.indexOf(level);
}

export function modeNumber(mode: OnnxOptions['executionMode']): number {
  return MODES.indexOf(mode);
}

function readInteger(options: EngineOptions, name: string, fallback: number, low: number, high: number): number {
  const value = options[name] ?? fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value;
  throw bad(name, value, `an integer from ${low} to ${high}`);
}

function readFlag(options: EngineOptions, name: string, fallback: boolean): boolean {
  const value = options[name] ?? fallback;
  if (typeof value === 'boolean') return value;
  throw bad(name, value, 'true or false');
}

function readWord<W extends string>(options: EngineOptions, name: string, words: readonly W[], fallback: W): W {
  const value = options[name] ?? fallback;
  const word = words.find((known) => known === value);
  if (word) return word;
  throw bad(name, value, `one of ${words.join(', ')}`);
}

function readDimensions(value: unknown): OnnxOptions['freeDimensionOverrides'] {
  if (value === undefined) return {};
  const wanted = 'an object of dimension names and sizes of at least 1';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad('freeDimensionOverrides', value, wanted);
  }
  for (const [name, size] of Object.entries(value)) {
    if (name === '' || !Number.isSafeInteger(size) || size < 1) throw bad('freeDimensionOverrides', value, wanted);
  }
  return value as Readonly<Record<string, number>>;
}

/** The error for an option with a value that it cannot have. */
export function bad(name: string, value: unknown, expected: string): AppError {
  return new AppError('invalid', `option ${name} is ${JSON.stringify(value)}, expected ${expected}`);
}
