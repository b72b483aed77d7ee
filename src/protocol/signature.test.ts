import { expect, it } from 'vitest';
import { readSignature } from './signature.js';

const NONE = { inputs: [], outputs: [] };

it('reads what a server says of its model, and takes nothing that is not the protocol', () => {
  const x = { name: 'x', datatype: 'FP32', shape: [-1, 2] };
  const read = (value: unknown) =>
    readSignature(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  expect(read({ name: 'm', inputs: [x], outputs: [] })).toEqual({ inputs: [x], outputs: [] });
  expect(read({ name: 'm' })).toEqual(NONE);
  for (const other of ['', '<html>', 'null', '[]', { inputs: [{ ...x, datatype: 'FLOAT' }] }, { outputs: [null] }]) {
    expect(read(other)).toEqual(NONE);
  }
});
