import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import { makeTensor, type Tensor } from '../../protocol/tensor.js';

/** ONNX Runtime's name of each datatype that its Node binding carries. */
const TO_ORT = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const satisfies Record<Exclude<Datatype, 'BF16'>, OrtTensor.Type>;

const FROM_ORT = new Map<string, Datatype>(Object.entries(TO_ORT).map(([ours, theirs]) => [theirs, ours as Datatype]));

/** The datatype of ONNX Runtime's type; undefined for those that no wire here carries (4-bit integers, bfloat16). */
export function datatypeOf(ortType: string): Datatype | undefined {
  return FROM_ORT.get(ortType);
}

/** Makes ONNX Runtime's tensor over the same memory. Strings must be UTF-8 without NUL. */
export function toOrt(Ctor: typeof OrtTensor, tensor: Tensor): OrtTensor {
  if (tensor.datatype === 'BF16') {
    throw new AppError('unsupported', `input "${tensor.name}" is BF16, which ONNX Runtime's Node binding cannot carry`);
  }
  if (tensor.datatype !== 'BYTES') return new Ctor(TO_ORT[tensor.datatype], tensor.data, tensor.shape);
  const strings = tensor.data.map((element, i) => {
    if (element.includes(0))
      throw notText(tensor.name, i, 'holds a NUL byte, where ONNX Runtime would cut the text off');
    try {
      return UTF8.decode(element);
    } catch {
      throw notText(tensor.name, i, 'is not UTF-8, which the strings of ONNX Runtime are');
    }
  });
  return new Ctor('string', strings, tensor.shape);
}

function notText(name: string, index: number, problem: string): AppError {
  return new AppError('invalid', `input "${name}": element ${index} ${problem}`, {
    details: { input: name, element: index },
  });
}

/** Takes an output over. The memory is ONNX Runtime's copy for JavaScript, so it may be kept. */
export function fromOrt(name: string, output: OrtTensor): Tensor {
  const datatype = datatypeOf(output.type);
  if (datatype === undefined) {
    throw new AppError('unsupported', `output "${name}" has the type ${output.type}, which the protocol cannot carry`);
  }
  if (datatype === 'BYTES') {
    const data = (output.data as string[]).map((text) => Buffer.from(text, 'utf8'));
    return makeTensor(name, datatype, output.dims, data);
  }
  return makeTensor(name, datatype, output.dims, output.data);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
