import { describe, expect, it } from 'vitest';
import { randomTensor, seeded } from '../../../tests/support/random.js';
import { AppError } from '../../errors.js';
import type { InferRequest, Parameters } from '../infer.js';
import { ProtoWriter } from '../protobuf/writer.js';
import { makeTensor, type Tensor, tensorToBytes } from '../tensor.js';
import { peekModelName, readModelInferRequest, writeModelInferRequest } from './infer-request.js';
import {
  readModelInferResponse,
  readStreamResponse,
  wrapStreamResponse,
  writeModelInferResponse,
  writeStreamError,
  writeStreamResponse,
} from './infer-response.js';

const bytesOf = (tensors: readonly Tensor[]) =>
  tensors.map((tensor) => [tensor.name, tensor.datatype, tensor.shape, tensorToBytes(tensor).toString('hex')]);

const request = (inputs: readonly Tensor[], more: Partial<InferRequest> = {}): InferRequest => ({
  id: undefined,
  parameters: {},
  inputs,
  outputs: undefined,
  ...more,
});
const MODEL = { modelName: 'digits', modelVersion: '3' };
const sent = (inputs: readonly Tensor[], raw = true, more: Partial<InferRequest> = {}) =>
  Buffer.concat(writeModelInferRequest(MODEL, request(inputs, more), raw));

/** A message of these fields: text, bytes and messages by their number. */
function message(...fields: [number, string | Buffer | ProtoWriter | bigint][]): ProtoWriter {
  const to = new ProtoWriter();
  for (const [id, value] of fields) {
    if (typeof value === 'string') to.string(id, value);
    else if (typeof value === 'bigint') to.int64(id, value);
    else if (Buffer.isBuffer(value)) to.bytes(id, value);
    else to.message(id, value);
  }
  return to;
}
/** An input with contents; `shape` as one unpacked number each. */
const input = (name: string, datatype: string, shape: number[], contents?: ProtoWriter) =>
  message(
    [1, name],
    [2, datatype],
    ...shape.map((size): [number, bigint] => [3, BigInt(size)]),
    ...(contents ? [[5, contents] as [number, ProtoWriter]] : []),
  );
const reading = (...fields: [number, string | Buffer | ProtoWriter][]) =>
  readModelInferRequest(message([1, 'm'], ...fields).finish());

describe('writing and reading', () => {
  it('are each other’s inverse for random tensors of every type, raw and as contents', () => {
    const random = seeded(21);
    for (let round = 0; round < 600; round++) {
      const tensors = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, at) =>
        randomTensor(random, `t${at}`, false),
      );
      const raw = random() < 0.5;
      const id = random() < 0.5 ? 'é' : undefined;
      const read = readModelInferRequest(sent(tensors, raw, { id, outputs: [{ name: 'y', parameters: { a: 1 } }] }));
      expect(bytesOf(read.inputs)).toEqual(bytesOf(tensors));
      expect(read).toMatchObject({ ...MODEL, id, outputs: [{ name: 'y', parameters: { a: 1 } }] });
      const typed = !raw && tensors.every(({ datatype }) => datatype !== 'FP16' && datatype !== 'BF16');
      expect(read.rawOutputs).toBe(!typed);

      const response = { ...MODEL, id, outputs: tensors };
      const again = readModelInferResponse(Buffer.concat(writeModelInferResponse(response, raw)));
      expect(bytesOf(again.outputs)).toEqual(bytesOf(tensors));
      expect({ ...again, outputs: [] }).toEqual({ ...response, outputs: [] });
      const streamed = readStreamResponse(Buffer.concat(writeStreamResponse(response, raw)));
      expect('response' in streamed && bytesOf(streamed.response.outputs)).toEqual(bytesOf(tensors));
    }
  });

  it('leave large tensors where they are', () => {
    const data = new Float32Array(1000);
    const tensor = makeTensor('x', 'FP32', [1000], data);
    const parts = writeModelInferResponse({ ...MODEL, id: undefined, outputs: [tensor] }, true);
    expect(parts.some((part) => part.buffer === data.buffer)).toBe(true);
    const wrapped = wrapStreamResponse(parts);
    expect(readStreamResponse(Buffer.concat(wrapped))).toMatchObject({ response: { outputs: [{ name: 'x' }] } });
    expect(readStreamResponse(Buffer.concat(writeStreamError('no')))).toEqual({ error: 'no' });
  });

  it('tensors that lie right in the message are views of it', () => {
    const bytes = sent([makeTensor('x', 'UINT8', [300], new Uint8Array(300))]);
    const data = readModelInferRequest(bytes).inputs[0]?.data;
    expect(data instanceof Uint8Array && data.buffer === bytes.buffer).toBe(true);
  });

  it('carry parameters of every kind, 64-bit integers with all their bits', () => {
    const parameters: Parameters = {
      flag: false,
      text: '',
      small: -5,
      half: 0.5,
      large: 2 ** 60,
      exact: 2n ** 60n + 1n,
      least: -(2n ** 63n),
      most: 2n ** 64n - 1n,
      ['__proto__']: 'own',
    };
    const read = readModelInferRequest(sent([], true, { parameters })).parameters;
    expect(read).toEqual({ ...parameters, large: 2 ** 60 });
    expect(Object.hasOwn(read, '__proto__')).toBe(true);
    expect(() => sent([], true, { parameters: { list: [1] } })).toThrow('parameter "list" is an array');
  });
});

describe('the name of the model', () => {
  it('is found without reading the rest', () => {
    expect(peekModelName(sent([makeTensor('x', 'UINT8', [3], new Uint8Array(3))]))).toEqual(MODEL);
    // fields may come in any order, and what is wrong elsewhere is not looked at
    const odd = message([5, Buffer.from('no tensor')], [2, '7'], [1, 'm']).finish();
    expect(peekModelName(odd)).toEqual({ modelName: 'm', modelVersion: '7' });
    expect(peekModelName(Buffer.alloc(0))).toEqual({ modelName: '', modelVersion: undefined });
    expect(() => peekModelName(odd.subarray(0, odd.length - 1))).toThrow('cut short');
  });
});

describe('contents', () => {
  const numbers = (id: number, values: bigint[]) => message(...values.map((value): [number, bigint] => [id, value]));
  const packed = (id: number, values: bigint[]) => {
    const to = new ProtoWriter();
    to.packed(id, values.length, (inner, at) => inner.packedInt64(values[at] as bigint));
    return to;
  };
  it.each<[string, string, number, bigint[], unknown]>([
    ['BOOL', 'BOOL', 1, [1n, 0n, 7n], new Uint8Array([1, 0, 1])],
    ['INT8', 'INT8', 2, [-128n, 127n, 0n], new Int8Array([-128, 127, 0])],
    ['INT16', 'INT16', 2, [-32768n, 32767n, 1n], new Int16Array([-32768, 32767, 1])],
    ['INT32', 'INT32', 2, [-(2n ** 31n), 2n ** 31n - 1n, 5n], new Int32Array([-(2 ** 31), 2 ** 31 - 1, 5])],
    ['INT64', 'INT64', 3, [-(2n ** 63n), 2n ** 63n - 1n, -1n], new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n, -1n])],
    ['UINT8', 'UINT8', 4, [255n, 0n, 1n], new Uint8Array([255, 0, 1])],
    ['UINT16', 'UINT16', 4, [65535n, 0n, 1n], new Uint16Array([65535, 0, 1])],
    ['UINT32', 'UINT32', 4, [2n ** 32n - 1n, 0n, 1n], new Uint32Array([2 ** 32 - 1, 0, 1])],
    ['UINT64', 'UINT64', 5, [2n ** 64n - 1n, 0n, 1n], new BigUint64Array([2n ** 64n - 1n, 0n, 1n])],
  ])('%s, packed, not packed, and mixed', (_name, datatype, id, values, expected) => {
    const mixed = packed(id, values.slice(0, 1));
    for (const value of values.slice(1)) mixed.int64(id, value);
    for (const contents of [numbers(id, values), packed(id, values), mixed]) {
      expect(reading([5, input('x', datatype, [3], contents)]).inputs[0]?.data).toEqual(expected);
    }
  });

  it('floats, packed in one piece or several, and not packed', () => {
    const values = new Float32Array([1.5, -2, Number.NaN]);
    const bytes = Buffer.from(values.buffer);
    const single = new ProtoWriter();
    for (const value of values) single.float(6, value);
    for (const contents of [message([6, bytes]), message([6, bytes.subarray(0, 4)], [6, bytes.subarray(4)]), single]) {
      expect(reading([5, input('x', 'FP32', [3], contents)]).inputs[0]?.data).toEqual(values);
    }
  });
});

describe('a refusal names the input, the value and the bound', () => {
  const one = new ProtoWriter();
  one.uint32(2, 1);
  const x = (datatype: string, shape: number[], contents?: ProtoWriter): [number, ProtoWriter] => [
    5,
    input('x', datatype, shape, contents),
  ];
  const raw = (bytes: number): [number, Buffer] => [7, Buffer.alloc(bytes)];
  it.each<[string, [number, string | Buffer | ProtoWriter][], string]>([
    [
      'raw and contents',
      [x('INT32', [1], one), raw(4)],
      'input "x" has contents, and the request has raw_input_contents: one or the other',
    ],
    [
      'too few raw contents',
      [x('INT32', [1]), [5, input('y', 'INT32', [1])], raw(4)],
      'input "y" has no raw contents: there are 1 for 2 tensors',
    ],
    ['too many raw contents', [x('INT32', [1]), raw(4), raw(4)], 'there are 2 raw_input_contents, 1 inputs take them'],
    ['no data', [x('INT32', [1])], 'input "x" has no data: neither contents nor raw contents'],
    [
      'another size',
      [x('INT32', [2, 2]), raw(12)],
      'input "x": shape [2,2] of INT32 takes 16 bytes, raw_input_contents has 12',
    ],
    ['another count', [x('INT32', [2], one)], 'input "x": shape [2] holds 2 elements, int_contents has 1'],
    ['more than the shape', [x('INT32', [0], one)], 'input "x": shape [0] holds 0 elements, int_contents has 1'],
    [
      'a shape without end',
      [x('INT32', [2 ** 40, 2 ** 40], one)],
      'holds 1.2089258196146292e+24 elements, int_contents has 1',
    ],
    ['contents of another type', [x('FP32', [1], one)], 'input "x": FP32 goes in fp32_contents, not in int_contents'],
    [
      'half precision as contents',
      [x('FP16', [1], one)],
      'input "x": FP16 has no field in contents; send it as raw contents',
    ],
    ['out of range', [x('INT8', [1], message([2, 128n]))], 'input "x": element 0 is 128, out of range for INT8'],
    ['below zero', [x('UINT8', [1], message([4, -1n]))], 'input "x": element 0 is 4294967295, out of range for UINT8'],
    [
      'half a float',
      [x('FP32', [1], message([6, Buffer.alloc(3)]))],
      'input "x": shape [1] holds 1 elements, fp32_contents has 0.75',
    ],
    ['the same input twice', [x('INT32', [1], one), x('INT32', [1], one)], 'input "x" is given twice'],
    [
      'the same output twice',
      [
        [6, message([1, 'y'])],
        [6, message([1, 'y'])],
      ],
      'requested output "y" is given twice',
    ],
    ['no name', [[5, input('', 'INT32', [1], one)]], 'an input has no name'],
    ['an unknown datatype', [x('FP8', [1], one)], 'input "x": datatype is "FP8", expected one of BOOL, '],
    ['a negative dimension', [x('INT32', [-1], one)], 'input "x": shape[0] is -1, expected an integer of at least 0'],
    [
      'shared memory',
      [[5, message([1, 'x'], [4, message([1, 'shared_memory_region'], [2, message([3, 'r'])])])]],
      'input "x": shared memory regions are not supported; send the data',
    ],
    [
      'a classification',
      [[6, message([1, 'y'], [2, message([1, 'classification'], [2, message([2, 3n])])])]],
      'output "y": the parameter "classification" is not supported',
    ],
    [
      'BYTES that run past their end',
      [x('BYTES', [1]), [7, Buffer.of(9, 0, 0, 0, 1)]],
      'tensor "x": BYTES element 0 runs past the end',
    ],
  ])('%s', (_reason, fields, text) => {
    expect(() => reading(...fields)).toThrow(text);
    try {
      reading(...fields);
    } catch (error) {
      expect(['invalid', 'unsupported']).toContain((error as AppError).code);
    }
  });

  it('of a field of another wire type', () => {
    const bytes = new ProtoWriter();
    bytes.uint32(1, 5);
    expect(() => readModelInferRequest(bytes.finish())).toThrow('field 1 has wire type 0, expected 2');
  });
});

it('damaged bytes only ever give an error of ours', () => {
  const random = seeded(5);
  const below = (bound: number) => Math.floor(random() * bound);
  const readers = [readModelInferRequest, readModelInferResponse, readStreamResponse, peekModelName];
  for (let round = 0; round < 4000; round++) {
    const tensors = [randomTensor(random, 'a', false), randomTensor(random, 'b', false)];
    const parameters = { a: 1, b: 'x', c: true };
    const whole =
      round % 4 === 0
        ? Buffer.from(Array.from({ length: below(60) }, () => below(256)))
        : round % 4 === 1
          ? Buffer.concat(writeStreamResponse({ ...MODEL, id: 'i', outputs: tensors }, random() < 0.5))
          : sent(tensors, round % 4 === 2, { parameters, outputs: [{ name: 'y', parameters }] });
    const bytes = Buffer.from(whole.subarray(0, random() < 0.3 ? below(whole.length + 1) : whole.length));
    for (let times = below(4); times > 0 && bytes.length > 0; times--) bytes[below(bytes.length)] = below(256);
    for (const read of readers) {
      try {
        read(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect(['invalid', 'unsupported']).toContain((error as AppError).code);
      }
    }
  }
});
