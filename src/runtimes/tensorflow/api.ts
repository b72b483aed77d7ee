/**
 * The functions of TensorFlow's C API that are used here (tensorflow/c/c_api.h, tf_tensor.h, tf_buffer.h, tf_status.h), as
 * typed JavaScript functions. Addresses are BigInts, as koffi has them; null is C's NULL.
 */
import type { LibraryHandle } from 'koffi';
import type { Koffi, Native, Pointer } from '../foreign.js';

/** TF_Output: one of the results of an operation of the graph. */
export interface GraphOutput {
  readonly oper: Pointer;
  readonly index: number;
}

type LoadArguments = [
  options: Pointer,
  runOptions: Pointer | null,
  path: string,
  tags: readonly string[],
  tagCount: number,
  graph: Pointer,
  metaGraph: Pointer,
  status: Pointer,
];

type RunArguments = [
  session: Pointer,
  runOptions: Pointer | null,
  inputs: readonly GraphOutput[],
  inputValues: readonly Pointer[],
  inputCount: number,
  outputs: readonly GraphOutput[],
  /** Filled with the tensors that come out, when the call has ended. */
  outputValues: (Pointer | null)[],
  outputCount: number,
  targets: null,
  targetCount: 0,
  metadata: null,
  status: Pointer,
];

export type Api = ReturnType<typeof bindApi>;

/** Finds the functions in the loaded library. `process` is the program itself, for what the C library has. */
export function bindApi(koffi: Koffi, library: LibraryHandle, process: LibraryHandle) {
  const output = koffi.struct({ oper: 'void *', index: 'int' });
  const buffer = koffi.struct({ data: 'void *', length: 'size_t', deallocator: 'void *' });
  const bind = <A extends readonly unknown[], R>(prototype: string) => library.func(prototype) as Native<A, R>;
  const run = library.func('TF_SessionRun', 'void', [
    'void *',
    'void *',
    koffi.pointer(output),
    'void **',
    'int',
    koffi.pointer(output),
    koffi.out(koffi.pointer('void *', 2)),
    'int',
    'void *',
    'int',
    'void *',
    'void *',
  ]);
  return {
    version: bind<[], string>('const char *TF_Version()'),

    newStatus: bind<[], Pointer>('void *TF_NewStatus()'),
    deleteStatus: bind<[status: Pointer], void>('void TF_DeleteStatus(void *status)'),
    /** 0 is success. */
    statusCode: bind<[status: Pointer], number>('int TF_GetCode(void *status)'),
    statusMessage: bind<[status: Pointer], string>('const char *TF_Message(void *status)'),

    newBuffer: bind<[], Pointer>('void *TF_NewBuffer()'),
    newBufferFrom: bind<[bytes: Uint8Array, length: number], Pointer>(
      'void *TF_NewBufferFromString(const void *bytes, size_t length)',
    ),
    deleteBuffer: bind<[buffer: Pointer], void>('void TF_DeleteBuffer(void *buffer)'),
    /** The bytes of a TF_Buffer where they lie: valid until it is deleted. */
    viewBuffer(pointer: Pointer): Buffer {
      const { data, length } = koffi.decode(pointer, buffer) as { data: Pointer | null; length: number };
      return data === null ? Buffer.alloc(0) : Buffer.from(koffi.view(data, length));
    },

    newGraph: bind<[], Pointer>('void *TF_NewGraph()'),
    deleteGraph: bind<[graph: Pointer], void>('void TF_DeleteGraph(void *graph)'),
    operation: bind<[graph: Pointer, name: string], Pointer | null>(
      'void *TF_GraphOperationByName(void *graph, const char *name)',
    ),

    newSessionOptions: bind<[], Pointer>('void *TF_NewSessionOptions()'),
    setConfig: bind<[options: Pointer, config: Uint8Array, length: number, status: Pointer], void>(
      'void TF_SetConfig(void *options, const void *config, size_t length, void *status)',
    ),
    deleteSessionOptions: bind<[options: Pointer], void>('void TF_DeleteSessionOptions(void *options)'),
    loadSession: bind<LoadArguments, Pointer | null>(
      'void *TF_LoadSessionFromSavedModel(void *options, void *run_options, const char *path, const char **tags, ' +
        'int tag_count, void *graph, void *meta_graph, void *status)',
    ),
    runSession: run as Native<RunArguments, void>,
    closeSession: bind<[session: Pointer, status: Pointer], void>('void TF_CloseSession(void *session, void *status)'),
    deleteSession: bind<[session: Pointer, status: Pointer], void>(
      'void TF_DeleteSession(void *session, void *status)',
    ),

    listDevices: bind<[session: Pointer, status: Pointer], Pointer | null>(
      'void *TF_SessionListDevices(void *session, void *status)',
    ),
    deviceCount: bind<[devices: Pointer], number>('int TF_DeviceListCount(void *devices)'),
    deviceType: bind<[devices: Pointer, index: number, status: Pointer], string>(
      'const char *TF_DeviceListType(void *devices, int index, void *status)',
    ),
    deleteDevices: bind<[devices: Pointer], void>('void TF_DeleteDeviceList(void *devices)'),

    allocateTensor: bind<[type: number, dims: readonly number[], rank: number, length: number], Pointer | null>(
      'void *TF_AllocateTensor(int type, const int64_t *dims, int rank, size_t length)',
    ),
    deleteTensor: bind<[tensor: Pointer], void>('void TF_DeleteTensor(void *tensor)'),
    tensorType: bind<[tensor: Pointer], number>('int TF_TensorType(void *tensor)'),
    tensorRank: bind<[tensor: Pointer], number>('int TF_NumDims(void *tensor)'),
    tensorDim: bind<[tensor: Pointer, axis: number], number | bigint>('int64_t TF_Dim(void *tensor, int axis)'),
    tensorBytes: bind<[tensor: Pointer], number | bigint>('size_t TF_TensorByteSize(void *tensor)'),
    tensorData: bind<[tensor: Pointer], Pointer | null>('void *TF_TensorData(void *tensor)'),

    copyIn: process.func('memcpy', 'void *', ['void *', 'const void *', 'size_t']) as Native<
      [to: Pointer, from: Uint8Array, length: number],
      Pointer
    >,
    copyOut: process.func('memcpy', 'void *', ['void *', 'const void *', 'size_t']) as Native<
      [to: Uint8Array, from: Pointer, length: number],
      Pointer
    >,
  };
}
