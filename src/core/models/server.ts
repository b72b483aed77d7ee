/** A model server of somebody else's making, as a model version that is more than files. */
import { z } from 'zod';

/** What a server may speak besides readiness. */
export const SERVER_PROTOCOLS = ['v2', 'v1', 'openai'] as const;

export const serverSchema = z
  .object({
    command: z
      .array(z.string().max(4096))
      .min(1)
      .max(256)
      .optional()
      .describe(
        'Program and arguments. {port} becomes the port to listen on, {model} the folder of the files, {name} the name of the endpoint.',
      ),
    url: z
      .url({ protocol: /^https?$/ })
      .max(2048)
      .optional()
      .describe('A server that runs already, by its base address.'),
    image: z.string().min(1).max(512).optional().describe('A container image; for clusters.'),
    port: z.number().int().min(1).max(65535).optional().describe('The port that an image listens on.'),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(32_768)).default({}),
    readyPath: z
      .string()
      .startsWith('/')
      .max(512)
      .default('/v2/health/ready')
      .describe('Answers 200 once the server can predict.'),
    startTimeoutSec: z.number().int().min(1).max(7200).default(300).describe('Longest that a start may take.'),
    protocols: z.array(z.enum(SERVER_PROTOCOLS)).min(1).max(3).default(['v2']).describe('What it speaks.'),
    modelName: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .describe("The name by which the server knows its model; the endpoint's name when absent."),
  })
  .strict()
  .refine((server) => [server.command, server.url, server.image].filter((one) => one !== undefined).length === 1, {
    message: 'needs exactly one of command, url and image',
  });

export type ServerSpec = z.infer<typeof serverSchema>;
