import { describe, expect, it } from 'vitest';
import { DT, placeholder, tensorFlowLibrary } from '../../../tests/support/tensorflow.js';
import { identity, infer, useTensorFlow } from '../../../tests/support/tensorflow-engine.js';
import { makeTensor } from '../../protocol/tensor.js';

const library = await tensorFlowLibrary();
const { load } = useTensorFlow(library);

const texts = (name: string, shape: number[], data: (string | Buffer)[]) =>
  makeTensor(
    name,
    'BYTES',
    shape,
    data.map((text) => Buffer.from(text as string)),
  );

describe.skipIf(library === undefined)('strings in TensorFlow', () => {
  const bytes = Buffer.from([0, 255, 254, 0, 10, 128]);
  const short = 'x'.repeat(22);
  const long = Buffer.alloc(5_000_000, 'abc\0');
  const input = texts('x', [2, 3], ['', 'a', short, `${short}y`, bytes, long]);

  it('carries arbitrary bytes of any length', async () => {
    const { engine } = await load(identity(DT.string));
    const [output] = await infer(engine, [input]);
    expect(output?.shape).toEqual([2, 3]);
    // Buffer by Buffer: comparing megabytes element by element would take the test seconds
    const data = (output?.data ?? []) as Buffer[];
    expect(data.map((text, at) => text.equals(input.data[at] as Buffer))).toEqual(new Array(6).fill(true));
  });

  it('computes with them', async () => {
    const { engine } = await load({
      nodes: [
        placeholder('x', DT.string),
        { name: 'n', op: 'StringLength', inputs: ['x'] },
        // with an encoding it reads up to the NUL behind each text
        { name: 'u', op: 'StringUpper', inputs: ['x'], attributes: { encoding: { text: 'utf-8' } } },
      ],
      signatures: {
        serving_default: {
          inputs: { x: { tensor: 'x:0', type: DT.string, shape: 'unknown' } },
          outputs: {
            upper: { tensor: 'u:0', type: DT.string, shape: 'unknown' },
            length: { tensor: 'n:0', type: DT.int32, shape: 'unknown' },
          },
        },
      },
    });
    const [length, upper] = await infer(engine, [input]);
    expect(length).toEqual(makeTensor('length', 'INT32', [2, 3], new Int32Array([0, 1, 22, 23, 6, 5_000_000])));
    expect(((upper?.data ?? []) as Buffer[]).slice(0, 4).map(String)).toEqual([
      '',
      'A',
      short.toUpperCase(),
      `${short}Y`.toUpperCase(),
    ]);
  });

  it('leaves them in a variable that outlives the request', async () => {
    const shared = { shared_name: { text: 'v' }, dtype: { type: DT.string }, shape: { shape: 'unknown' } } as const;
    const dtype = { dtype: { type: DT.string } };
    const { engine } = await load({
      nodes: [
        placeholder('x', DT.string),
        { name: 'v', op: 'VarHandleOp', attributes: shared },
        { name: 'set', op: 'AssignVariableOp', inputs: ['v', 'x'], attributes: dtype },
        { name: 'after', op: 'Identity', inputs: ['x', '^set'], attributes: { T: { type: DT.string } } },
        { name: 'get', op: 'ReadVariableOp', inputs: ['v'], attributes: dtype },
      ],
      signatures: {
        serving_default: {
          inputs: { x: { tensor: 'x:0', type: DT.string, shape: 'unknown' } },
          outputs: { y: { tensor: 'after:0', type: DT.string, shape: 'unknown' } },
        },
        get: { inputs: {}, outputs: { y: { tensor: 'get:0', type: DT.string, shape: 'unknown' } } },
      },
    });
    await infer(engine, [input]);
    // memory that was freed is soon somebody else's
    for (let at = 0; at < 20; at++) await infer(engine, [texts('x', [1], [Buffer.alloc(100_000, at)])]);
    await infer(engine, [input]);
    const other = await load(identity(DT.string));
    for (let at = 0; at < 20; at++) await infer(other.engine, [texts('x', [1], [Buffer.alloc(100_000, at)])]);
    const [kept] = await infer(engine, [], undefined, 'get');
    const data = (kept?.data ?? []) as Buffer[];
    expect(data.map((text, at) => text.equals(input.data[at] as Buffer))).toEqual(new Array(6).fill(true));
  });
});
