/** What an endpoint says of its response cache. */
import { z } from 'zod';

export const responseCacheSchema = z
  .object({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'Whether equal requests may be given the same answer. Only for models that answer by their inputs alone.',
      ),
    ttlSec: z.number().min(0.1).max(604_800).default(60).describe('How long an answer is kept, in seconds.'),
    maxBytes: z
      .number()
      .int()
      .min(64 * 1024)
      .max(16 * 2 ** 30)
      .default(64 * 2 ** 20)
      .describe('Most memory that the answers take in each gateway process, bookkeeping included, in bytes.'),
    maxEntryBytes: z
      .number()
      .int()
      .min(1)
      .max(2 ** 30)
      .default(2 ** 20)
      .describe('A larger answer is not kept, in bytes.'),
  })
  .strict()
  .refine((cache) => cache.maxEntryBytes <= cache.maxBytes, {
    message: 'must be at most maxBytes',
    path: ['maxEntryBytes'],
  });

export type ResponseCacheSettings = z.infer<typeof responseCacheSchema>;

export const DEFAULT_RESPONSE_CACHE: ResponseCacheSettings = responseCacheSchema.parse({});
