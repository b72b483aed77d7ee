/** What the model says about a request, and whether a server's answer says the same. */
import ort from 'onnxruntime-node';
import { AppError } from '../../src/errors.js';
import type { HttpAnswer } from '../support/post.js';
import type { Form } from '../support/predictions.js';

export interface Answer {
  readonly labels: readonly number[];
  /** Row after row. */
  readonly probabilities: readonly number[];
}

/** Servers may use another version of ONNX Runtime, whose sums round differently. */
const TOLERANCE = 1e-4;

/** The answer by the model itself, computed in this process. */
export async function expectedAnswer(model: string, rows: readonly (readonly number[])[]): Promise<Answer> {
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  try {
    const input = new ort.Tensor('float32', Float32Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0]);
    const { label, probabilities } = await session.run({ X: input });
    return { labels: numbers(label?.data), probabilities: numbers(probabilities?.data) };
  } finally {
    await session.release();
  }
}

/** Undefined when the answer is the expected one, else what is wrong with it. */
export function differs(answer: Answer, expected: Answer): string | undefined {
  for (const name of ['labels', 'probabilities'] as const) {
    const [got, wanted] = [answer[name], expected[name]];
    if (got.length !== wanted.length) return `${got.length} ${name}, not ${wanted.length}`;
    const at = wanted.findIndex((value, index) => !(Math.abs(value - (got[index] ?? Number.NaN)) <= TOLERANCE));
    if (at !== -1) return `${name}[${at}] is ${got[at]}, not ${wanted[at]}`;
  }
  return undefined;
}

interface OutputTensor {
  readonly name: string;
  readonly data?: unknown;
  readonly parameters?: { readonly binary_data_size?: number };
}

/** Reads the answer to a request of this form; throws when it is not a good one. */
export function readAnswer(form: Exclude<Form, 'grpc'>, { status, headers, body }: HttpAnswer): Answer {
  if (status !== 200)
    throw new AppError('upstream_failed', `answered ${status}: ${body.toString('utf8').slice(0, 200)}`);
  if (form === 'rows') {
    const { label, probabilities } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    return { labels: numbers(label), probabilities: numbers(probabilities) };
  }
  const headBytes = Number(headers['inference-header-content-length'] ?? body.length);
  const { outputs } = JSON.parse(body.toString('utf8', 0, headBytes)) as { outputs: readonly OutputTensor[] };
  const found = new Map<string, number[]>();
  let at = headBytes;
  for (const { name, data, parameters } of outputs) {
    const size = parameters?.binary_data_size;
    if (form === 'binary' && size === undefined) throw new AppError('upstream_failed', `output ${name} is not binary`);
    found.set(name, size === undefined ? numbers(data) : raw(name, body.subarray(at, at + size)));
    at += size ?? 0;
  }
  return { labels: found.get('label') ?? [], probabilities: found.get('probabilities') ?? [] };
}

/** A tensor's bytes, as the model's two outputs have them: int64 labels and float32 probabilities. */
export function raw(name: string, bytes: Buffer): number[] {
  const wide = name === 'label';
  return Array.from({ length: bytes.length / (wide ? 8 : 4) }, (_, at) =>
    wide ? Number(bytes.readBigInt64LE(at * 8)) : bytes.readFloatLE(at * 4),
  );
}

/** Numbers out of an array, nested or not, of numbers or bigints. */
function numbers(values: unknown): number[] {
  if (values === undefined || values === null || typeof values !== 'object') return [];
  return Array.from(values as ArrayLike<unknown>).flatMap((value) =>
    typeof value === 'object' ? numbers(value) : [Number(value)],
  );
}
