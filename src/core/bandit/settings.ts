/** Whether, and how, an endpoint's traffic follows the rewards that its clients report. */
import { z } from 'zod';

export const banditSchema = z
  .object({
    enabled: z.boolean().default(true).describe('Traffic moves by itself to the revision that is likely the best.'),
    reward: z.enum(['reward', 'accuracy']).default('reward').describe('What is to be made large.'),
    arms: z
      .array(z.number().int().min(1))
      .min(2)
      .max(64)
      .optional()
      .describe('Revisions that compete; all that have traffic, where absent. The others keep their share.'),
    intervalSec: z.number().int().min(1).max(3600).default(10).describe('Time between two looks at the rewards.'),
    minPercent: z
      .number()
      .min(0.1)
      .max(50)
      .default(2)
      .describe('Share that every arm keeps, so that one that becomes better is noticed.'),
    minChangePercent: z
      .number()
      .min(0.1)
      .max(50)
      .default(1)
      .describe('A change that moves no arm by so much is not made.'),
    minHoldSec: z.number().int().min(1).max(86_400).default(30).describe('Least time between two changes.'),
    windowSec: z
      .number()
      .int()
      .min(300)
      .max(30 * 86_400)
      .default(86_400)
      .describe('Rewards older than this are forgotten.'),
    prior: z
      .object({ good: z.number().min(0.1).max(1e6).default(1), bad: z.number().min(0.1).max(1e6).default(1) })
      .strict()
      .prefault({})
      .describe('What is believed of an arm without rewards: a Beta distribution, uniform by default.'),
  })
  .strict();

export type BanditSettings = z.infer<typeof banditSchema>;
