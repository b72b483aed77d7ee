/** What a cluster gives each replica of an endpoint, and where it may put it. One machine's processes take what there is. */
import { z } from 'zod';

const tolerationSchema = z
  .object({
    key: z.string().max(253).optional(),
    operator: z.enum(['Exists', 'Equal']).optional(),
    value: z.string().max(63).optional(),
    effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
    tolerationSeconds: z.number().int().min(0).optional(),
  })
  .strict();

export const placementSchema = z
  .object({
    cpus: z
      .number()
      .positive()
      .max(1024)
      .default(0.5)
      .describe('Processors set aside for a replica; may be fractional. It may use more where nobody else wants them.'),
    memoryMb: z
      .number()
      .int()
      .min(32)
      .max(16_777_216)
      .default(1024)
      .describe('Memory of a replica, in MiB; one that takes more is ended.'),
    gpus: z.number().int().min(0).max(64).default(0).describe('Whole GPUs.'),
    nodeSelector: z
      .record(z.string().max(317), z.string().max(63))
      .default({})
      .describe('Labels that a node must have.'),
    tolerations: z.array(tolerationSchema).max(64).default([]).describe('Taints of nodes that are put up with.'),
    image: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe('Image of the model server instead of the one that Sluice was set up with.'),
  })
  .strict()
  .describe('On Kubernetes: what each replica is given, and where it may run.');

export type Placement = z.infer<typeof placementSchema>;

export const DEFAULT_PLACEMENT: Placement = placementSchema.parse({});
