/**
 * Held-out data as promotions use it: one JSON document that looks like an Open Inference Protocol request, with the
 * output that is expected of every row beside it:
 *
 *     {"inputs": [{"name", "datatype", "shape": [N, …], "data": […]}], "expected": {"name", "datatype", "shape": [N], "data": […]},
 *      "columns": {"region": […]}}
 *
 * Columns are what is known of the rows beyond what the model sees; slices are cut by them.
 */
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { AppError, messageOf } from '../../errors.js';
import type { Blobs } from '../blobs.js';
import { findDataset } from '../datasets/store.js';
import { ask, type Forward } from '../inference/forward.js';
import type { Db } from '../schema.js';
import type { Label, Predicted } from './score.js';

const tensorSchema = z.object({
  name: z.string().min(1),
  datatype: z.string(),
  shape: z.array(z.number().int().min(0)).min(1),
  data: z.array(z.unknown()),
});

const labelSchema = z.union([z.number(), z.string(), z.boolean()], 'expected a number, a text or a boolean');

const setSchema = z.object({
  inputs: z.array(tensorSchema).min(1),
  expected: tensorSchema.optional(),
  columns: z.record(z.string(), z.array(z.union([labelSchema, z.null()]))).default({}),
});

export type JsonTensor = z.infer<typeof tensorSchema>;

export interface EvaluationSet {
  readonly digest: string;
  readonly rows: number;
  readonly inputs: readonly JsonTensor[];
  readonly expected: { readonly name: string; readonly values: readonly Label[] } | undefined;
  /** What is known of each row besides. */
  readonly columns: Readonly<Record<string, readonly (Label | null)[]>>;
}

/** Largest dataset that a gate reads: it is held in memory. */
const MAX_BYTES = 256 * 2 ** 20;
/** Rows sent in one request. */
const BATCH_ROWS = 256;

/** Reads the newest version of a dataset as an evaluation set; an AppError says what is wrong with it. */
export async function readEvaluationSet(db: Db, blobs: Blobs, project: string, name: string): Promise<EvaluationSet> {
  const dataset = await findDataset(db, project, name);
  if (!dataset) throw new AppError('not_found', `there is no dataset "${name}"`);
  if (dataset.bytes > MAX_BYTES)
    throw new AppError('too_large', `dataset "${name}" has ${dataset.bytes} bytes; a gate reads at most ${MAX_BYTES}`);
  return parseEvaluationSet(name, dataset.digest, await text(await blobs.open(dataset.digest)));
}

export function parseEvaluationSet(name: string, digest: string, json: string): EvaluationSet {
  let raw: unknown;
  try {
    raw = JSON.parse(json);
  } catch (error) {
    throw new AppError('invalid', `dataset "${name}" is not JSON: ${messageOf(error)}`);
  }
  const parsed = setSchema.safeParse(raw);
  if (!parsed.success) {
    const first = parsed.error.issues[0];
    throw new AppError('invalid', `dataset "${name}": ${first?.path.join('.')}: ${first?.message}`);
  }
  const { inputs, expected, columns } = parsed.data;
  const rows = inputs[0]?.shape[0] ?? 0;
  const flat = inputs.map((input) => ({ ...input, data: input.data.flat(Number.POSITIVE_INFINITY) }));
  for (const tensor of flat) {
    const size = tensor.shape.reduce((product, length) => product * length, 1);
    if (tensor.data.length !== size)
      throw new AppError(
        'invalid',
        `dataset "${name}": input "${tensor.name}" has ${tensor.data.length} values for shape [${tensor.shape}]`,
      );
    if (tensor.shape[0] !== rows)
      throw new AppError(
        'invalid',
        `dataset "${name}": input "${tensor.name}" has ${tensor.shape[0]} rows, the first one ${rows}`,
      );
  }
  if (rows === 0) throw new AppError('invalid', `dataset "${name}" has no rows`);
  for (const [column, values] of Object.entries(columns)) {
    if (values.length !== rows)
      throw new AppError(
        'invalid',
        `dataset "${name}": column "${column}" has ${values.length} values for ${rows} rows`,
      );
  }
  if (!expected) return { digest, rows, inputs: flat, expected: undefined, columns };
  const values = expected.data.flat(Number.POSITIVE_INFINITY).map((value, at) => {
    const label = labelSchema.safeParse(value);
    if (label.success) return label.data;
    throw new AppError('invalid', `dataset "${name}": expected.data.${at}: ${label.error.issues[0]?.message}`);
  });
  if (values.length !== rows)
    throw new AppError('invalid', `dataset "${name}" expects ${values.length} values for ${rows} rows`);
  return { digest, rows, inputs: flat, expected: { name: expected.name, values }, columns };
}

export interface Predictions extends Predicted {
  /** Milliseconds of each request. */
  readonly requestMs: readonly number[];
}

/**
 * Sends every row through a model and gathers one output; rejects with the model's own words when it fails. `wide`: a row
 * may have several values, such as a probability for each class.
 */
export async function predictAll(
  forward: Forward,
  set: EvaluationSet,
  output: string | undefined,
  signal: AbortSignal,
  wide = false,
): Promise<Predictions> {
  const values: Label[] = [];
  const requestMs: number[] = [];
  let width = 1;
  for (let from = 0; from < set.rows; from += BATCH_ROWS) {
    signal.throwIfAborted();
    const to = Math.min(set.rows, from + BATCH_ROWS);
    const began = performance.now();
    const answer = await requestRows(forward, bodyOf(rowsOf(set, from, to)));
    requestMs.push(performance.now() - began);
    const wanted =
      answer.outputs.find((tensor) => tensor.name === output) ?? (output === undefined ? answer.outputs[0] : undefined);
    if (!wanted)
      throw new AppError(
        'invalid',
        `the model gives no output "${output}"; it gives ${answer.outputs.map((tensor) => tensor.name).join(', ')}`,
      );
    const data = wanted.data.flat(Number.POSITIVE_INFINITY) as Label[];
    if (wide && from === 0) width = Math.max(1, data.length / to);
    if (data.length !== width * (to - from) || !Number.isInteger(width))
      throw new AppError('invalid', `output "${wanted.name}" has ${data.length} values for ${to - from} rows`);
    for (const value of data) values.push(value);
  }
  return { values, width, requestMs };
}

/** Some rows of the inputs, as tensors of their own. */
export function rowsOf(set: Pick<EvaluationSet, 'inputs' | 'rows'>, from: number, to: number): JsonTensor[] {
  return set.inputs.map((input) => {
    const perRow = input.data.length / set.rows;
    return {
      ...input,
      shape: [to - from, ...input.shape.slice(1)],
      data: input.data.slice(from * perRow, to * perRow),
    };
  });
}

/** A request with these inputs. */
export function bodyOf(inputs: readonly JsonTensor[]): Buffer {
  return Buffer.from(JSON.stringify({ inputs }));
}

/** One prediction; `invalid` with the model's words where it fails. */
export async function requestRows(
  forward: Forward,
  body: Buffer,
): Promise<{ outputs: { name: string; data: unknown[] }[] }> {
  const reply = await ask(forward, {
    method: 'POST',
    path: '/v2/models/{model}/infer',
    headers: { 'content-type': 'application/json' },
    body,
  }).reply;
  if (reply.status !== 200) throw new AppError('invalid', errorOf(reply.body) ?? `the model answered ${reply.status}`);
  return JSON.parse(reply.body.toString('utf8'));
}

/** The message of the protocol's error body, if it is one. */
function errorOf(body: Buffer): string | undefined {
  try {
    const { error } = JSON.parse(body.toString('utf8')) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
