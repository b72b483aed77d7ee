/** What a client reports of one answer, and what of it is counted. Pure. */
import { z } from 'zod';
import { AppError } from '../../errors.js';
import { type FeedbackToken, readToken } from './token.js';

/** Items of one report. */
export const MOST_ITEMS = 1000;

const answerSchema = z.union([z.string().max(1000), z.number(), z.boolean()]);

export const feedbackItemSchema = z
  .object({
    token: z
      .string()
      .max(600)
      .optional()
      .describe("The answer's `sluice-feedback` header: says which revision it was."),
    revision: z
      .number()
      .int()
      .min(1)
      .max(2_147_483_647)
      .optional()
      .describe("The answer's `sluice-revision` header; taken without a token from callers with a key."),
    requestId: z.string().min(1).max(128).optional().describe("The answer's `x-request-id` header."),
    id: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe('What has the same id is counted once; without it, the token or the request id is that.'),
    reward: z.number().min(0).max(1).optional().describe('How good the answer was, from 0 to 1.'),
    label: answerSchema.optional().describe('What would have been right; counted together with `prediction`.'),
    prediction: answerSchema.optional().describe('What the model said.'),
    at: z.iso.datetime({ offset: true }).optional().describe('When it happened, for the record.'),
  })
  .strict();

export type FeedbackItem = z.infer<typeof feedbackItemSchema>;

/** The metrics that feedback is counted as. */
export type FeedbackMetric = 'reward' | 'accuracy';

/** One number that is counted for a revision. */
export interface Outcome {
  readonly metric: FeedbackMetric;
  readonly revision: number;
  /** From 0 to 1. */
  readonly value: number;
  /** What has the same key and metric is counted once; undefined: always counted. */
  readonly key: string | undefined;
  /** When it happened, as the client says. */
  readonly at: string | undefined;
}

/** What an endpoint's feedback is read with. */
export interface FeedbackReader {
  readonly endpointId: string;
  readonly endpoint: string;
  readonly secret: string;
  readonly lastRevision: number;
  readonly maxAgeSec: number;
  /** Whether the caller has a key: then it is believed about the revision. */
  readonly trusted: boolean;
  readonly nowMs: number;
}

/** What is to be counted of a report. The first item that is wrong refuses it whole, by name. */
export function outcomesOf(items: readonly FeedbackItem[], reader: FeedbackReader): Outcome[] {
  return items.flatMap((item, at) => outcomesOfItem(item, `feedback[${at}]`, reader));
}

function outcomesOfItem(item: FeedbackItem, name: string, reader: FeedbackReader): Outcome[] {
  const { reward, label, prediction } = item;
  const token = item.token === undefined ? undefined : checkedToken(item.token, name, reader);
  const revision = token?.revision ?? plainRevision(item, name, reader);
  if (token && item.revision !== undefined && item.revision !== revision)
    throw invalid(`${name}.revision is ${item.revision}, but its token is of revision ${revision}`);
  if (revision > reader.lastRevision)
    throw invalid(
      `${name}.revision is ${revision}; endpoint "${reader.endpoint}" has revisions 1 to ${reader.lastRevision}`,
    );
  const shared = { revision, key: keyOf(item), at: item.at };
  const outcomes: Outcome[] = [];
  if (reward !== undefined) outcomes.push({ ...shared, metric: 'reward', value: reward });
  if (label !== undefined && prediction !== undefined)
    outcomes.push({ ...shared, metric: 'accuracy', value: label === prediction ? 1 : 0 });
  if (outcomes.length === 0)
    throw invalid(`${name} has nothing to count: it needs a reward, or a label together with the prediction`);
  return outcomes;
}

/** A token counts once whatever id comes with it: who has no key could make up any number of ids. */
function keyOf({ token, id, requestId }: FeedbackItem): string | undefined {
  if (token !== undefined) return `token:${token.slice(token.lastIndexOf('.') + 1)}`;
  if (id !== undefined) return `id:${id}`;
  return requestId === undefined ? undefined : `request:${requestId}`;
}

function checkedToken(
  text: string,
  name: string,
  { endpointId, endpoint, secret, maxAgeSec, nowMs }: FeedbackReader,
): FeedbackToken {
  const token = readToken(secret, endpointId, text);
  if (!token) throw invalid(`${name}.token is none that an answer of endpoint "${endpoint}" had`);
  const ageSec = Math.floor(nowMs / 1000) - token.second;
  if (ageSec > maxAgeSec) throw invalid(`${name}.token is ${ageSec} s old; at most ${maxAgeSec} s are taken`);
  return token;
}

function plainRevision({ revision }: FeedbackItem, name: string, { trusted }: FeedbackReader): number {
  if (revision === undefined)
    throw invalid(
      `${name} does not say which revision answered: send the answer's sluice-feedback header as token, or its sluice-revision header as revision`,
    );
  if (!trusted)
    throw new AppError(
      'unauthenticated',
      `${name}.revision is taken from callers with a key only: send the answer's sluice-feedback header as token`,
    );
  return revision;
}

function invalid(message: string): AppError {
  return new AppError('invalid', message);
}
