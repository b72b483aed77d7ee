import { z } from 'zod';

/** What a training job says of itself. The same schema validates the API, the CLI's YAML and the OpenAPI document. */
export const NAME = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'use 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit',
  );

export const resourcesSchema = z
  .object({
    cpus: z.number().positive().max(1024).default(1).describe('CPU slots; may be fractional.'),
    memoryMb: z.number().int().positive().default(512).describe('Memory set aside, in MiB.'),
    gpus: z.number().int().min(0).max(64).default(0).describe('Whole GPUs.'),
  })
  .strict();

/** How the replicas of a job find each other: what each framework reads from the environment. */
export const distributedSchema = z
  .object({
    framework: z
      .enum(['none', 'torch', 'tensorflow', 'jax'])
      .default('none')
      .describe('Whose variables the script finds: MASTER_ADDR and RANK, also for torchrun; TF_CONFIG; JAX_….'),
    processesPerReplica: z
      .number()
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe('With torch: processes that torchrun starts in each replica, such as one for each GPU.'),
  })
  .strict()
  .refine(
    ({ framework, processesPerReplica }) => framework === 'torch' || processesPerReplica === 1,
    'processesPerReplica above 1 is for torch alone',
  );

const paramValue = z.union([z.string().max(4096), z.number(), z.boolean()]);

export const jobSpecSchema = z
  .object({
    name: NAME.describe('What people call the job; need not be unique.'),
    model: NAME.optional().describe(
      'The model that the output is registered under. Without it, outputs are not registered.',
    ),
    code: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits, as the upload answered')
      .describe('Digest of an uploaded tar.gz of the code folder.'),
    entrypoint: z
      .string()
      .min(1)
      .max(512)
      .refine(
        (path) => !path.startsWith('/') && !path.split('/').includes('..'),
        'must be a path inside the code folder',
      )
      .describe('Script to run, relative to the code folder.'),
    args: z.array(z.string().max(4096)).max(256).default([]),
    requirements: z.array(z.string().min(1).max(512)).max(256).default([]).describe('pip requirement lines.'),
    params: z
      .record(z.string().min(1).max(256), paramValue)
      .default({})
      .describe('Handed to the script as a JSON file and in the environment.'),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(32768)).default({}),
    resources: resourcesSchema.default({ cpus: 1, memoryMb: 512, gpus: 0 }),
    image: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe(
        'Container image with Python, where jobs run on Kubernetes. Default: the one that the platform is set to.',
      ),
    replicas: z
      .number()
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe(
        'Pods that run the script together, each with these resources; more than 1 where jobs run on Kubernetes.',
      ),
    distributed: distributedSchema
      .default({ framework: 'none', processesPerReplica: 1 })
      .describe('How the replicas find each other.'),
    timeLimitSec: z
      .number()
      .int()
      .min(1)
      .max(30 * 86400)
      .default(3600)
      .describe('SIGTERM after this many seconds of running, SIGKILL after the grace.'),
    retries: z.number().int().min(0).max(20).default(1).describe('How often a failed attempt is repeated.'),
    endpoint: NAME.optional().describe(
      'The endpoint whose promotion policy takes the model over; every endpoint of the model when absent.',
    ),
  })
  .strict();

export type Resources = z.infer<typeof resourcesSchema>;
export type Distributed = z.infer<typeof distributedSchema>;
export type JobSpec = z.infer<typeof jobSpecSchema>;

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
