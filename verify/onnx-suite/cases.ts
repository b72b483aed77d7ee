/** The cases of ONNX's operator suite that ONNX Runtime passes by itself on this machine. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isDatatype } from '../../src/protocol/datatypes.js';
import { type Tensor, tensorFromBytes } from '../../src/protocol/tensor.js';
import { pythonWith } from '../../tests/support/python-environment.js';

/** The newest release of the suite whose operator sets ONNX Runtime 1.30 has. */
const ONNX_VERSION = '1.21.0';
const WRITE_MS = 10 * 60_000;

export interface DataSet {
  readonly inputs: readonly Tensor[];
  /** What the suite itself expects. */
  readonly outputs: readonly Tensor[];
}

export interface Case {
  readonly name: string;
  /** The model's file. */
  readonly path: string;
  /** Of numbers, as NumPy's assert_allclose has them. */
  readonly rtol: number;
  readonly atol: number;
  /** Whether ONNX Runtime's Python binding could be asked; it has no arrays of bfloat16. */
  readonly python: boolean;
  readonly sets: readonly DataSet[];
}

/** What became of the rest of the suite. */
export interface Report {
  readonly total: number;
  /** Cases that ONNX Runtime does not pass, with its words. */
  readonly failed: Readonly<Record<string, string>>;
  /** Names of cases by the types that the protocol cannot carry. */
  readonly left: Readonly<Record<string, readonly string[]>>;
}

export interface Suite {
  readonly versions: string;
  readonly report: Report;
  cases(): AsyncGenerator<Case>;
}

/** Has the suite run by Python, with the same version of ONNX Runtime, and written to a folder. */
export async function writeSuite(folder: string): Promise<Suite | { readonly missing: string }> {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { readonly version: string };
  const found = await pythonWith([`onnx==${ONNX_VERSION}`, `onnxruntime==${version}`, 'ml_dtypes']);
  if ('missing' in found) return found;
  const program = fileURLToPath(new URL('../verify/onnx-suite/programs/suite.py', import.meta.url));
  await promisify(execFile)(found.python, [program, folder], { timeout: WRITE_MS, maxBuffer: 2 ** 26 });
  const report = JSON.parse(await readFile(join(folder, 'report.json'), 'utf8')) as Report;
  return { versions: `onnx ${ONNX_VERSION}, ONNX Runtime ${version}`, report, cases: () => readCases(folder) };
}

interface WrittenTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** The protocol's binary form in base64. */
  readonly data: string;
}

interface WrittenCase extends Omit<Case, 'path' | 'sets'> {
  readonly file: string;
  readonly sets: readonly { readonly inputs: readonly WrittenTensor[]; readonly outputs: readonly WrittenTensor[] }[];
}

async function* readCases(folder: string): AsyncGenerator<Case> {
  for await (const line of createInterface({ input: createReadStream(join(folder, 'cases.jsonl')) })) {
    const { file, sets, ...rest } = JSON.parse(line) as WrittenCase;
    yield {
      ...rest,
      path: join(folder, file),
      sets: sets.map(({ inputs, outputs }) => ({ inputs: inputs.map(toTensor), outputs: outputs.map(toTensor) })),
    };
  }
}

function toTensor({ name, datatype, shape, data }: WrittenTensor): Tensor {
  if (!isDatatype(datatype)) throw new Error(`tensor "${name}" is of the type ${datatype}`);
  return tensorFromBytes(name, datatype, shape, Buffer.from(data, 'base64'));
}
