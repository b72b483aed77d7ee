/** What a Python program wrote: inputs, and the answers that its framework gave to them. */
import { readFile } from 'node:fs/promises';
import { isDatatype } from '../../src/protocol/datatypes.js';
import { type Tensor, tensorFromBytes } from '../../src/protocol/tensor.js';

export interface Case {
  readonly signature: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

interface WrittenTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** The protocol's binary form in base64. */
  readonly data: string;
}

/** The cases of a file, one line of JSON each: {signature, inputs, outputs}. */
export async function readCases(path: string): Promise<Case[]> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  return lines.map((line) => {
    const { signature, inputs, outputs } = JSON.parse(line) as {
      readonly signature: string;
      readonly inputs: readonly WrittenTensor[];
      readonly outputs: readonly WrittenTensor[];
    };
    return { signature, inputs: inputs.map(toTensor), outputs: outputs.map(toTensor) };
  });
}

function toTensor({ name, datatype, shape, data }: WrittenTensor): Tensor {
  if (!isDatatype(datatype)) throw new Error(`tensor "${name}" is of the type ${datatype}`);
  return tensorFromBytes(name, datatype, shape, Buffer.from(data, 'base64'));
}
