/** What an endpoint says of its payload log: which requests and answers are recorded, and where they go. */
import { z } from 'zod';

/** Larger bodies pass the gateway piece by piece and are never recorded. */
export const MAX_RECORDED_BYTES = 2 ** 20;

/** Headers that prove who somebody is. */
const SECRET_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'cookie',
  'set-cookie',
]);

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, 'must be a header name')
  .transform((name) => name.toLowerCase())
  .refine((name) => !SECRET_HEADERS.has(name), `must be none of ${[...SECRET_HEADERS].join(', ')}: they are secrets`);

const httpSinkSchema = z
  .object({
    kind: z.literal('http'),
    url: z
      .string()
      .max(2000)
      .refine(isSinkUrl, 'must be an http or https URL without user and password')
      .describe('Takes CloudEvents by POST. Any address will do, also one that only the gateway reaches.'),
    batch: z
      .object({
        maxEvents: z.number().int().min(1).max(1000).default(100).describe('Most events of one POST.'),
        maxDelayMs: z
          .number()
          .int()
          .min(0)
          .max(60_000)
          .default(1000)
          .describe('How long an event may wait for others, in milliseconds.'),
      })
      .strict()
      .optional()
      .describe('Several events in one POST, in the batched mode of CloudEvents. Left out: one each, in binary mode.'),
  })
  .strict();

const blobsSinkSchema = z
  .object({
    kind: z.literal('blobs'),
    prefix: z
      .string()
      .max(200)
      .regex(/^$|^[A-Za-z0-9_-][\w.-]*(\/[A-Za-z0-9_-][\w.-]*)*$/, 'must be folder names joined by "/"')
      .default('')
      .describe('Folder within the blob store that payload-log/PROJECT/ENDPOINT/DATE/ is made in.'),
    format: z
      .enum(['jsonl', 'parquet'])
      .default('jsonl')
      .describe('One CloudEvent a line as JSON, or Parquet with a column for each attribute.'),
    intervalSec: z.number().min(1).max(3600).default(60).describe('A file is closed when it is so old, in seconds.'),
    maxFileBytes: z
      .number()
      .int()
      .min(64 * 1024)
      .max(2 ** 30)
      .default(16 * 2 ** 20)
      .describe('A file is closed when it has so many bytes.'),
  })
  .strict();

export const payloadLogSchema = z
  .object({
    rate: z
      .number()
      .gt(0)
      .max(1)
      .default(1)
      .describe('Share of the requests that are recorded. The request id decides, for request and answer alike.'),
    mode: z.enum(['all', 'request', 'response']).default('all').describe('What is recorded of each.'),
    metadataHeaders: z
      .array(headerName)
      .max(32)
      .default([])
      .describe('Headers of the request that are recorded with it. Never those that hold keys or cookies.'),
    maxBodyBytes: z
      .number()
      .int()
      .min(1)
      .max(MAX_RECORDED_BYTES)
      .default(MAX_RECORDED_BYTES)
      .describe('A larger body is not recorded, and counted as dropped.'),
    sink: z.discriminatedUnion('kind', [httpSinkSchema, blobsSinkSchema]).describe('Where the records go.'),
  })
  .strict();

export type PayloadLogSettings = z.infer<typeof payloadLogSchema>;
export type PayloadSink = PayloadLogSettings['sink'];
export type HttpSinkSettings = z.infer<typeof httpSinkSchema>;
export type BlobsSinkSettings = z.infer<typeof blobsSinkSchema>;

function isSinkUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === '';
}
