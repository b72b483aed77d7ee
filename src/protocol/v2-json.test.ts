import { describe, expect, it } from 'vitest';
import { randomTensor, seeded } from '../../tests/support/random.js';
import { AppError } from '../errors.js';
import { type InferRequest, wantsBinary } from './infer.js';
import { makeTensor, type Tensor, tensorToBytes } from './tensor.js';
import { parseHeaderLength, parseInferRequest, parseInferResponse } from './v2-json.js';
import { printInferRequest, printInferResponse } from './v2-print.js';

const parse = (text: string) => parseInferRequest(Buffer.from(text));
const one = (datatype: string, shape: number[], data: string) =>
  parse(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${shape}],"data":${data}}]}`).inputs[0] as Tensor;
const bytesOf = (tensors: readonly Tensor[]) =>
  tensors.map((tensor) => [tensor.name, tensor.datatype, tensor.shape, tensorToBytes(tensor).toString('hex')]);

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect(['invalid', 'unsupported']).toContain((error as AppError).code);
    return (error as AppError).message;
  }
  throw new Error('nothing was thrown');
}

describe('print and parse', () => {
  it('are each other’s inverse for random tensors of every type, as JSON and as binary', () => {
    const random = seeded(20);
    for (let round = 0; round < 600; round++) {
      const binary = new Map<string, boolean>();
      const tensors = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, i) => {
        binary.set(`t${i}`, random() < 0.5);
        return randomTensor(random, `t${i}`, !binary.get(`t${i}`));
      });
      const choose = (name: string) => binary.get(name) === true;
      const response = { modelName: 'm "1"', modelVersion: '3', id: 'é', outputs: tensors };
      const printed = printInferResponse(response, choose);
      const again = parseInferResponse(printed.body, printed);
      expect(bytesOf(again.outputs)).toEqual(bytesOf(tensors));
      expect({ ...again, outputs: [] }).toEqual({ ...response, outputs: [] });

      const request: InferRequest = { id: 'r', parameters: { a: 1 }, inputs: tensors, outputs: undefined };
      const sent = printInferRequest(request, choose);
      expect(bytesOf(parseInferRequest(sent.body, sent).inputs)).toEqual(bytesOf(tensors));
    }
  });

  it('take a name and a version of a server that are no text for none', () => {
    const body = Buffer.from('{"model_name":{"toString":1},"model_version":3,"outputs":[]}');
    expect(parseInferResponse(body)).toMatchObject({ modelName: '', modelVersion: '3' });
  });

  it('keep 64-bit integers exact in a request whose texts look like numbers', () => {
    const text =
      '{"id":"12345678901234567890","inputs":[{"name":"s","datatype":"BYTES","shape":[1],"data":["a\\"9007199254740993"]},' +
      '{"name":"f","datatype":"FP64","shape":[1],"data":[0.12345678901234567]},' +
      '{"name":"x","datatype":"INT64","shape":[2,2],"data":[[9007199254740993,-9223372036854775808],[1,1e3]]}]}';
    const { id, inputs } = parse(text);
    expect(id).toBe('12345678901234567890');
    expect(inputs[0]?.data).toEqual([Buffer.from('a"9007199254740993')]);
    expect(inputs[1]?.data).toEqual(new Float64Array([0.12345678901234566]));
    expect(inputs[2]?.data).toEqual(new BigInt64Array([9007199254740993n, -(2n ** 63n), 1n, 1000n]));
  });

  it('keep 64-bit integers among parameters exact', () => {
    const parameters = { most: 2n ** 64n - 1n, list: [1, 'a', null], gone: undefined };
    const { body } = printInferRequest(
      { id: undefined, parameters, inputs: [], outputs: [{ name: 'y', parameters: { least: -(2n ** 63n) } }] },
      () => false,
    );
    expect(body.toString()).toBe(
      '{"parameters":{"most":18446744073709551615,"list":[1,"a",null]},"inputs":[],' +
        '"outputs":[{"name":"y","parameters":{"least":-9223372036854775808}}]}',
    );
  });

  it('say when NaN and infinities became null, and read null back as NaN', () => {
    const data = new Float32Array([Number.NaN, 1, Number.POSITIVE_INFINITY]);
    const outputs = [makeTensor('y', 'FP32', [3], data)];
    const { body } = printInferResponse(
      { modelName: 'm', modelVersion: undefined, id: undefined, outputs },
      () => false,
    );
    expect(JSON.parse(body.toString())).toEqual({
      model_name: 'm',
      outputs: [
        { name: 'y', datatype: 'FP32', shape: [3], parameters: { non_finite_as_null: 2 }, data: [null, 1, null] },
      ],
    });
    expect(parseInferResponse(body).outputs[0]?.data).toEqual(new Float32Array([Number.NaN, 1, Number.NaN]));
  });
});

describe('a lenient reader', () => {
  it.each([
    ['nested data', 'FP32', [2, 2], '[[1,2],[3,4]]', new Float32Array([1, 2, 3, 4])],
    ['flat data', 'FP32', [2, 2], '[1,2,3,4]', new Float32Array([1, 2, 3, 4])],
    ['bare NaN, as Python prints it', 'FP32', [3], '[NaN,-Infinity,1]', new Float32Array([Number.NaN, -Infinity, 1])],
    ['0 and 1 as booleans', 'BOOL', [3], '[1,false,0]', new Uint8Array([1, 0, 0])],
    [
      'integers as text, as protobuf prints them',
      'UINT64',
      [1],
      '["18446744073709551615"]',
      new BigUint64Array([2n ** 64n - 1n]),
    ],
    ['half precision as numbers', 'FP16', [2], '[1,-0.5]', new Uint16Array([0x3c00, 0xb800])],
    ['bfloat16 as numbers', 'BF16', [2], '[1,-0.5]', new Uint16Array([0x3f80, 0xbf00])],
    ['no elements', 'INT32', [0, 4], '[]', new Int32Array(0)],
    ['a scalar', 'INT8', [], '[-128]', new Int8Array([-128])],
  ])('takes %s', (_reason, datatype, shape, data, expected) => {
    expect(one(datatype, shape, data).data).toEqual(expected);
  });
});

describe('a refusal names the input, the value and the bound', () => {
  it.each([
    ['too few elements', 'FP32', [2, 2], '[1,2,3]', 'input "x": shape [2,2] holds 4 elements, data has 3'],
    ['ragged rows', 'FP32', [2, 2], '[[1,2,3],[4]]', '3 elements along dimension 1, not 2'],
    ['rows nested too deep', 'FP32', [1], '[[1]]', '1 elements along dimension 1, not any'],
    ['above INT8', 'INT8', [1], '[128]', 'element 0 is 128, out of range for INT8 (-128 to 127)'],
    ['below UINT64', 'UINT64', [1], '[-1]', 'element 0 is -1, out of range for UINT64 (0 to 18446744073709551615)'],
    ['above INT64', 'INT64', [1], '[9223372036854775808]', 'is 9223372036854775808, out of range for INT64'],
    ['a fraction', 'INT32', [2], '[1,1.5]', 'element 1 is 1.5, expected an integer for INT32'],
    ['a fraction in 64 bits', 'INT64', [1], '[1.5]', 'element 0 is 1.5, expected an integer for INT64'],
    ['more than float32', 'FP32', [1], '[1e39]', 'is 1e+39, out of range for FP32'],
    ['more than bfloat16', 'BF16', [1], '[3.4e38]', 'is 3.4e+38, out of range for BF16'],
    ['more than half', 'FP16', [1], '[65520]', 'is 65520, out of range for FP16 (-65504 to 65504)'],
    ['text as a number', 'FP32', [1], '["1"]', 'element 0 is "1", expected a number for FP32'],
    ['2 as a boolean', 'BOOL', [1], '[2]', 'element 0 is 2, expected true or false for BOOL'],
    ['a number as text', 'BYTES', [1], '[1]', 'element 0 is 1, expected a string for BYTES'],
    ['an unknown type', 'FP8', [1], '[1]', 'datatype is "FP8", expected one of BOOL, '],
    ['a negative dimension', 'FP32', [-1], '[1]', 'shape[0] is -1, expected an integer of at least 0'],
  ])('%s', (_reason, datatype, shape, data, message) => {
    expect(messageOf(() => one(datatype, shape, data))).toContain(message);
  });

  const x = '{"name":"x","datatype":"FP32","shape":[1],"data":[1]}';
  it.each([
    ['no JSON', '{', 'the body is not JSON'],
    ['no object', '[1]', 'the body is not a JSON object'],
    ['no inputs', '{}', '"inputs" is missing'],
    ['the same input twice', `{"inputs":[${x},${x}]}`, 'input "x" is given twice'],
    ['no data', '{"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]}', 'input "x" has no "data"'],
    ['no name', '{"inputs":[{"datatype":"FP32","shape":[1],"data":[1]}]}', 'inputs[0] has no "name"'],
    ['no shape', '{"inputs":[{"name":"x","datatype":"FP32","data":[1]}]}', '"shape" is missing'],
    [
      'the same output twice',
      `{"inputs":[${x}],"outputs":[{"name":"y"},{"name":"y"}]}`,
      'requested output "y" is given twice',
    ],
    [
      'classification',
      `{"inputs":[${x}],"outputs":[{"name":"y","parameters":{"classification":3}}]}`,
      '"classification" is not supported',
    ],
    [
      'shared memory',
      `{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"parameters":{"shared_memory_region":"r"}}]}`,
      'shared memory',
    ],
    ['an id that is no text', `{"id":1,"inputs":[${x}]}`, '"id" is number'],
  ])('%s', (_reason, text, message) => {
    expect(messageOf(() => parse(text))).toContain(message);
  });
});

describe('binary tensors', () => {
  const head = (size: unknown, datatype = 'FP32') =>
    `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[1],"parameters":{"binary_data_size":${size}}}]}`;
  const read = (json: string, rest: number[], headerLength = json.length) =>
    parseInferRequest(Buffer.concat([Buffer.from(json), Buffer.from(rest)]), { headerLength });

  it('are read whatever their place in memory', () => {
    for (const pad of ['', ' ', '  ', '   ']) {
      expect(read(pad + head(4), [0, 0, 128, 63]).inputs[0]?.data).toEqual(new Float32Array([1]));
    }
  });

  it.each([
    ['a header longer than the body', () => read(head(4), [], 4000), 'more than the body'],
    ['sizes beyond the body', () => read(head(8), [0, 0, 0, 0]), 'the body has 4 bytes left'],
    ['bytes nobody claims', () => read(head(4), [0, 0, 0, 0, 0]), '1 bytes of binary data more'],
    ['a size that is no multiple', () => read(head(3), [0, 0, 0]), 'takes 4 bytes, binary_data_size is 3'],
    ['a negative size', () => read(head(-4), []), 'binary_data_size is -4'],
    ['a text size', () => read(head('"4"'), [0, 0, 0, 0]), 'binary_data_size is "4"'],
    ['an element that runs over', () => read(head(5, 'BYTES'), [9, 0, 0, 0, 1]), 'runs past the end'],
    ['a cut length', () => read(head(2, 'BYTES'), [1, 0]), 'runs past the end'],
    ['no header', () => parseInferRequest(Buffer.from(head(4))), 'is the header'],
    ['a header that is no number', () => parseHeaderLength('-12'), 'expected a count of bytes'],
  ])('refuse %s', (_reason, run, message) => {
    expect(messageOf(run)).toContain(message);
  });

  it('come back for the outputs that ask, or for all', () => {
    const outputs = [
      { name: 'a', parameters: { binary_data: false } },
      { name: 'b', parameters: {} },
    ];
    const request: InferRequest = { id: undefined, parameters: { binary_data_output: true }, inputs: [], outputs };
    expect([wantsBinary(request, 'a'), wantsBinary(request, 'b')]).toEqual([false, true]);
    expect(wantsBinary({ ...request, parameters: {}, outputs: undefined }, 'a')).toBe(false);
  });

  it('may be the whole body when the model has one input', () => {
    const signature = { inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [-1, 2] }], outputs: [] };
    const body = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer);
    const { inputs } = parseInferRequest(body, { headerLength: 0, signature });
    expect(inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [2, 2], data: new Float32Array([1, 2, 3, 4]) }]);
  });

  it('refuse to print text that is not UTF-8 as JSON', () => {
    const outputs = [makeTensor('y', 'BYTES', [1], [Buffer.from([0xff])])];
    const response = { modelName: 'm', modelVersion: undefined, id: undefined, outputs };
    expect(messageOf(() => printInferResponse(response, () => false))).toContain('ask for it with binary_data');
  });
});
