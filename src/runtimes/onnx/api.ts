/**
 * The functions of ONNX Runtime's C API that are used here (onnxruntime_c_api.h), as typed JavaScript functions. The API is
 * a table of function pointers that only ever grows, so a function's place in it is the same in every version that has it.
 */
import type { LibraryHandle } from 'koffi';
import type { Koffi, Native, Pointer } from '../foreign.js';

/** What fails gives an OrtStatus, which `check` (status.ts) reads and frees; null is success. */
export type Status = Pointer | null;

/** Memory that a function writes its results into, read when the call has ended. */
export type Out = BigUint64Array | BigInt64Array | Int32Array;

/** The version of the table that is asked for; a library of this version (1.18) or later gives it. */
const API_VERSION = 18;

export type Api = NonNullable<ReturnType<typeof bindApi>>;

/** Undefined when the library is older than the API that is asked for. `process`: for what the C library has. */
export function bindApi(koffi: Koffi, library: LibraryHandle, process: LibraryHandle) {
  const base = library.func('OrtGetApiBase', 'void *', [])() as Pointer;
  const member = (table: Pointer, place: number, result: string, args: readonly string[]) =>
    koffi.decode(koffi.decode(table, 8 * place, 'void *'), koffi.proto(result, [...args]));
  const table = (member(base, 0, 'void *', ['uint32_t']) as Native<[number], Pointer | null>)(API_VERSION);
  const version = (member(base, 1, 'const char *', []) as Native<[], string>)();
  if (table === null) return undefined;
  /** A function that can fail. Pointers are addresses, Buffers or typed arrays. */
  const call = <A extends readonly unknown[]>(place: number, ...args: readonly string[]) =>
    member(table, place, 'void *', args) as Native<A, Status>;
  const release = (place: number) => member(table, place, 'void', [P]) as Native<[pointer: Pointer], void>;
  return {
    version,

    errorCode: member(table, 1, 'int', [P]) as Native<[status: Pointer], number>,
    errorMessage: member(table, 2, TEXT, [P]) as Native<[status: Pointer], string>,
    releaseStatus: release(93),

    createEnv: call<[severity: number, id: string, env: Out]>(3, INT, TEXT, P),
    cpuMemoryInfo: call<[allocator: number, memory: number, info: Out]>(69, INT, INT, P),
    defaultAllocator: call<[allocator: Out]>(78, P),
    allocatorFree: call<[allocator: Pointer, memory: Pointer]>(76, P, P),

    createOptions: call<[options: Out]>(10, P),
    releaseOptions: release(100),
    setExecutionMode: call<[options: Pointer, mode: number]>(13, P, INT),
    enableMemPattern: call<[options: Pointer]>(16, P),
    disableMemPattern: call<[options: Pointer]>(17, P),
    enableCpuMemArena: call<[options: Pointer]>(18, P),
    disableCpuMemArena: call<[options: Pointer]>(19, P),
    setLogSeverity: call<[options: Pointer, level: number]>(22, P, INT),
    setOptimizationLevel: call<[options: Pointer, level: number]>(23, P, INT),
    setIntraOpThreads: call<[options: Pointer, threads: number]>(24, P, INT),
    setInterOpThreads: call<[options: Pointer, threads: number]>(25, P, INT),
    overrideDimension: call<[options: Pointer, name: string, size: number]>(124, P, TEXT, 'int64_t'),
    addConfigEntry: call<[options: Pointer, key: string, value: string]>(130, P, TEXT, TEXT),

    createCudaOptions: call<[options: Out]>(205, P),
    updateCudaOptions: call<UpdateArguments>(206, P, TEXTS, TEXTS, SIZE),
    releaseCudaOptions: release(208),
    appendCuda: call<[options: Pointer, cuda: Pointer]>(204, P, P),
    createTensorRtOptions: call<[options: Out]>(171, P),
    updateTensorRtOptions: call<UpdateArguments>(172, P, TEXTS, TEXTS, SIZE),
    releaseTensorRtOptions: release(174),
    appendTensorRt: call<[options: Pointer, tensorRt: Pointer]>(170, P, P),
    appendProvider: call<[options: Pointer, name: string, ...rest: Settings]>(216, P, TEXT, TEXTS, TEXTS, SIZE),

    createRunOptions: call<[options: Out]>(39, P),
    releaseRunOptions: release(97),
    terminate: call<[runOptions: Pointer]>(46, P),
    createSession: call<[env: Pointer, path: string, options: Pointer, session: Out]>(7, P, TEXT, P, P),
    createSessionFrom: call<[env: Pointer, bytes: Uint8Array, length: number, options: Pointer, session: Out]>(
      ...([8, P, P, SIZE, P, P] as const),
    ),
    releaseSession: release(95),
    inputCount: call<[session: Pointer, count: Out]>(30, P, P),
    outputCount: call<[session: Pointer, count: Out]>(31, P, P),
    inputType: call<[session: Pointer, index: number, info: Out]>(33, P, SIZE, P),
    outputType: call<[session: Pointer, index: number, info: Out]>(34, P, SIZE, P),
    inputName: call<[session: Pointer, index: number, allocator: Pointer, name: Out]>(36, P, SIZE, P, P),
    outputName: call<[session: Pointer, index: number, allocator: Pointer, name: Out]>(37, P, SIZE, P, P),
    run: call<RunArguments>(9, P, P, P, P, SIZE, P, SIZE, P),

    /** What a value's type is; the casts give views of it, which live as long as it does. */
    typeKind: call<[info: Pointer, kind: Out]>(56, P, P),
    releaseType: release(98),
    asTensorType: call<[info: Pointer, tensor: Out]>(55, P, P),
    asMapType: call<[info: Pointer, map: Out]>(103, P, P),
    asSequenceType: call<[info: Pointer, sequence: Out]>(104, P, P),
    asOptionalType: call<[info: Pointer, optional: Out]>(250, P, P),
    mapKeyType: call<[map: Pointer, elementType: Out]>(105, P, P),
    /** A new type, to be released, as those of the next two. */
    mapValueType: call<[map: Pointer, info: Out]>(106, P, P),
    sequenceElementType: call<[sequence: Pointer, info: Out]>(107, P, P),
    optionalContainedType: call<[optional: Pointer, info: Out]>(251, P, P),
    elementType: call<[tensor: Pointer, type: Out]>(60, P, P),
    rank: call<[tensor: Pointer, rank: Out]>(61, P, P),
    dimensions: call<[tensor: Pointer, sizes: Out, rank: number]>(62, P, P, SIZE),
    dimensionNames: call<[tensor: Pointer, names: Out, rank: number]>(63, P, P, SIZE),

    /** Over the caller's memory, which must outlive it. */
    tensorOver: call<[info: Pointer, data: ArrayBufferView, length: number, ...rest: Shape]>(
      ...([49, P, P, SIZE, P, SIZE, INT, P] as const),
    ),
    createTensor: call<[allocator: Pointer, ...rest: Shape]>(48, P, P, SIZE, INT, P),
    releaseValue: release(96),
    hasValue: call<[value: Pointer, has: Out]>(192, P, P),
    tensorShape: call<[value: Pointer, tensor: Out]>(65, P, P),
    releaseTensorShape: release(99),
    tensorData: call<[value: Pointer, data: Out]>(51, P, P),
    stringsLength: call<[value: Pointer, bytes: Out]>(53, P, P),
    stringsContent: call<[value: Pointer, text: Buffer, bytes: number, offsets: Out, count: number]>(
      ...([54, P, P, SIZE, P, SIZE] as const),
    ),
    /** The memory of one string of a tensor, of this many bytes. */
    stringMemory: call<[value: Pointer, index: number, bytes: number, memory: Out]>(252, P, SIZE, SIZE, P),

    copyIn: process.func('memcpy', P, [P, P, SIZE]) as Native<[to: Pointer, from: Uint8Array, n: number], Pointer>,
    copyOut: process.func('memcpy', P, [P, P, SIZE]) as Native<[to: Uint8Array, from: Pointer, n: number], Pointer>,
    /** The text at an address, up to its NUL. */
    text: (address: Pointer): string => koffi.decode.string(address),
    address: (memory: Uint8Array): Pointer => koffi.address(memory),
  };
}

const P = 'void *';
const TEXT = 'const char *';
const TEXTS = 'const char **';
const SIZE = 'size_t';
const INT = 'int';

type Settings = [names: readonly string[], values: readonly string[], count: number];
type UpdateArguments = [options: Pointer, ...settings: Settings];
type Shape = [shape: BigInt64Array, rank: number, elementType: number, value: Out];

type RunArguments = [
  session: Pointer,
  runOptions: Pointer,
  inputNames: BigUint64Array,
  inputs: BigUint64Array,
  inputCount: number,
  outputNames: BigUint64Array,
  outputCount: number,
  /** Null addresses in; what the run made out, to be released. */
  outputs: BigUint64Array,
];
