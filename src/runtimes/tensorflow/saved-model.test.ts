import { describe, expect, it } from 'vitest';
import { DT, type GraphSignature, type Info, metaGraph } from '../../../tests/support/tensorflow.js';
import { defaultSignature, readSignatures } from './saved-model.js';

const float = (tensor: string, shape: Info['shape']): Info => ({ tensor, type: DT.float, shape });
const signature = (inputs: Record<string, Info>): GraphSignature => ({
  inputs,
  outputs: { y: float('y:0', [-1]) },
});
const read = (signatures: Record<string, GraphSignature>) => readSignatures(metaGraph({ signatures }));
const good = signature({ x: float('x:0', [-1]) });

describe('readSignatures', () => {
  it('reads names, types, shapes and places, sorted by name', () => {
    const inputs = {
      z: float('serving_default_z:0', [-1, 28, 28]),
      a: { tensor: 'split:3', type: DT.int64, shape: 'unknown' as const },
      b: { tensor: 'scope/op', type: DT.string, shape: [] },
    };
    expect(read({ serving_default: signature(inputs) }).usable.get('serving_default')).toEqual({
      inputs: [
        { spec: { name: 'a', datatype: 'INT64', shape: [] }, operation: 'split', index: 3, scalar: false },
        { spec: { name: 'b', datatype: 'BYTES', shape: [] }, operation: 'scope/op', index: 0, scalar: true },
        {
          spec: { name: 'z', datatype: 'FP32', shape: [-1, 28, 28] },
          operation: 'serving_default_z',
          index: 0,
          scalar: false,
        },
      ],
      outputs: [{ spec: { name: 'y', datatype: 'FP32', shape: [-1] }, operation: 'y', index: 0, scalar: false }],
    });
  });

  it('takes a reference to a variable as what it refers to', () => {
    const { usable } = read({ a: signature({ x: { tensor: 'x:0', type: 100 + DT.float, shape: [] } }) });
    expect(usable.get('a')?.inputs[0]?.spec.datatype).toBe('FP32');
  });

  it('tells what cannot be served, and does not tell of what is not meant to be', () => {
    const { usable, unusable } = read({
      b: good,
      a: good,
      __saved_model_init_op: signature({}),
      __saved_model_train_op: signature({ x: { tensor: 'x:0', type: DT.resource, shape: [] } }),
      handle: signature({ x: { tensor: 'x:0', type: DT.resource, shape: [] } }),
      complex: signature({ x: { tensor: 'x:0', type: DT.complex64, shape: [] } }),
      newer: signature({ x: { tensor: 'x:0', type: 77, shape: [] } }),
      sparse: signature({ x: { type: DT.float, shape: [] } }),
    });
    expect([...usable.keys()]).toEqual(['a', 'b']);
    expect(Object.fromEntries(unusable)).toEqual({
      complex: 'input "x" has the type complex64, which the protocol cannot carry',
      handle: 'input "x" has the type resource, which the protocol cannot carry',
      newer: 'input "x" has the type number 77, which the protocol cannot carry',
      sparse: 'input "x" is a sparse or composite tensor, which the protocol cannot carry',
    });
  });

  it('refuses what is no MetaGraphDef', () => {
    const cut = metaGraph({ signatures: { a: good } });
    expect(() => readSignatures(cut.subarray(0, cut.length - 1))).toThrow('not valid protobuf');
    expect(() => readSignatures(Buffer.from([0x28, 1]))).toThrow('wire type');
  });
});

describe('defaultSignature', () => {
  const resource = signature({ x: { tensor: 'x:0', type: DT.resource, shape: [] } });

  it.each([
    ['serving_default of several', { a: good, serving_default: good }, 'serving_default'],
    ['the only one', { predict: good, __saved_model_init_op: good }, 'predict'],
    ['the only one that can be served', { predict: good, train: resource }, 'predict'],
  ])('is %s', (_what, signatures, name) => {
    expect(defaultSignature(read(signatures))).toBe(name);
  });

  it.each([
    ['none', {}, 'invalid', 'the SavedModel has no signature to serve'],
    ['several', { b: good, a: good }, 'invalid', 'the SavedModel has the signatures "a", "b", and none is called'],
    [
      'one that cannot be served',
      { serving_default: resource, a: good },
      'unsupported',
      'the signature "serving_default" cannot be served: input "x" has the type resource',
    ],
  ])('is refused for %s', (_what, signatures, code, message) => {
    expect(() => defaultSignature(read(signatures))).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });
});
