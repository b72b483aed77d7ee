/** Rows on their way to an endpoint and back: as binary tensors, several requests at once, patiently. */

import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, asAppError } from '../../errors.js';
import { type Tensor, tensorToBytes } from '../../protocol/tensor.js';
import { HEADER_LENGTH, parseHeaderLength, parseInferResponse } from '../../protocol/v2-json.js';
import { printInferRequest, type WireBody } from '../../protocol/v2-print.js';
import { backoffMs } from '../backoff.js';
import type { AskGateway, GatewayReply } from '../gateways/ask.js';
import { discard, RETRIED, retryAfterMs } from '../gateways/replies.js';
import type { Segment } from '../tables/outputs.js';
import { padRows, type Run, sliceRows } from '../tables/rows.js';
import type { RequestSize } from './request-size.js';
import type { Slots } from './slots.js';

export interface PredictorOptions {
  readonly ask: AskGateway;
  readonly project: string;
  readonly path: string;
  /** Outputs to ask for; undefined: all. */
  readonly outputs: readonly string[] | undefined;
  /** Rows in each request, of a model whose first dimension is fixed. */
  readonly batch: number | undefined;
  /** Whether the first row that fails is the end of it. */
  readonly stopAtBad: boolean;
  readonly size: RequestSize;
  readonly slots: Slots;
  /** Told why requests have to wait, and with undefined that they need not any more. */
  onWait(reason: string | undefined): void;
}

/** Answers that are about the rows of a request. */
const ROW_FAULTS: ReadonlySet<number> = new Set([400, 413, 422, 500]);
const BACKOFF = { backoffMs: 250, maxBackoffMs: 15_000 };

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Predicts the rows of a run; their segments in order. Rejects with what is wrong with the endpoint rather than a row. */
export async function predictRun(options: PredictorOptions, run: Run, signal: AbortSignal): Promise<Segment[]> {
  const { size, slots, batch } = options;
  const rowBytes = run.tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0) / run.rows;
  const answers: Promise<Segment[]>[] = [];
  for (let from = 0; from < run.rows; ) {
    const release = await slots.take(signal);
    const rows = Math.min(run.rows - from, batch ?? size.next(rowBytes));
    const answer = predictSome(options, sliceRows(run.tensors, from, from + rows), signal).finally(release);
    // whoever awaits them all hears of it
    answer.catch(() => {});
    answers.push(answer);
    from += rows;
  }
  return (await Promise.all(answers)).flat();
}

function bytesOf(tensor: Tensor): number {
  return tensor.datatype === 'BYTES' ? tensorToBytes(tensor).length : tensor.data.byteLength;
}

/** One request; where it fails for one of its rows, smaller ones, until that row is found. */
async function predictSome(
  options: PredictorOptions,
  tensors: readonly Tensor[],
  signal: AbortSignal,
): Promise<Segment[]> {
  const rows = tensors[0]?.shape[0] ?? 0;
  const began = performance.now();
  const sent = options.batch ?? rows;
  const answer = await patientAsk(options, padRows(tensors, sent), signal);
  if (answer.status === 200) {
    options.size.answered(rows, performance.now() - began);
    const outputs = readOutputs(options, answer, sent);
    return [{ kind: 'answered', rows, outputs: sent === rows ? outputs : sliceRows(outputs, 0, rows) }];
  }
  const message = messageOfAnswer(answer);
  if (!ROW_FAULTS.has(answer.status))
    throw new AppError('invalid', `the endpoint answered ${answer.status}: ${message}`);
  if (rows === 1) return [{ kind: 'bad', message }];
  const half = Math.ceil(rows / 2);
  const first = await predictSome(options, sliceRows(tensors, 0, half), signal);
  if (options.stopAtBad && first.some((segment) => segment.kind === 'bad')) return first;
  return [...first, ...(await predictSome(options, sliceRows(tensors, half, rows), signal))];
}

/** Asks until there is an answer of its own, whatever stands in the way for a while. */
async function patientAsk(options: PredictorOptions, tensors: readonly Tensor[], signal: AbortSignal): Promise<Answer> {
  const wire = printRequest(options, tensors);
  for (let failures = 1; ; failures++) {
    let reason: string;
    let waitMs = backoffMs(BACKOFF, failures, Math.random());
    try {
      const reply = await askOnce(options, wire, signal);
      if (!RETRIED.has(reply.status)) {
        const answer = { status: reply.status, headers: reply.headers, body: await buffer(reply.body) };
        if (failures > 1) options.onWait(undefined);
        return answer;
      }
      reason = `the endpoint answers ${reply.status}`;
      waitMs = Math.max(waitMs, retryAfterMs(reply));
      discard(reply);
    } catch (error) {
      signal.throwIfAborted();
      reason = asAppError(error).message;
    }
    options.onWait(reason);
    await sleep(waitMs, undefined, { signal });
  }
}

function printRequest({ outputs }: PredictorOptions, tensors: readonly Tensor[]): WireBody {
  const wanted = outputs?.map((name) => ({ name, parameters: { binary_data: true } }));
  const request = { id: undefined, parameters: { binary_data_output: true }, inputs: tensors, outputs: wanted };
  return printInferRequest(request, () => true);
}

function askOnce({ ask, project, path }: PredictorOptions, wire: WireBody, signal: AbortSignal): Promise<GatewayReply> {
  const { body, headerLength } = wire;
  const headers = { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(headerLength ?? body.length) };
  const sent = { bytes: body.length, open: async () => Readable.from([body]) };
  return ask({ project, method: 'POST', path, headers, body: sent, signal });
}

/** The answer's outputs as they were asked for; refuses one whose first dimension is not the rows that were sent. */
function readOutputs({ outputs }: PredictorOptions, answer: Answer, rows: number): Tensor[] {
  const headerLength = parseHeaderLength(answer.headers[HEADER_LENGTH]);
  const { outputs: given } = parseInferResponse(answer.body, { headerLength });
  const wanted = outputs?.map((name) => {
    const found = given.find((tensor) => tensor.name === name);
    if (!found) throw new AppError('invalid', `the model gives no output "${name}"`);
    return found;
  });
  const found = wanted ?? given;
  const other = found.find((tensor) => tensor.shape[0] !== rows);
  if (!other) return [...found];
  const shape = `[${other.shape.join(', ')}]`;
  throw new AppError(
    'invalid',
    `output "${other.name}" has the shape ${shape} for ${rows} rows: it is not one value a row`,
  );
}

const LONGEST = 500;

function messageOfAnswer({ body, status }: Answer): string {
  const text = body.toString('utf8');
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === 'string') return error.slice(0, LONGEST);
  } catch {
    // another server's own words
  }
  return text.trim().slice(0, LONGEST) || `answered ${status}`;
}
