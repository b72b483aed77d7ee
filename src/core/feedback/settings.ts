/** Whether an endpoint's clients may report what came of its answers. */
import { z } from 'zod';

const DAY_SEC = 86_400;

export const feedbackSchema = z
  .object({
    enabled: z
      .boolean()
      .default(true)
      .describe('Answers carry a token (sluice-feedback) with which clients report a reward or a label.'),
    maxAgeSec: z
      .number()
      .int()
      .min(60)
      .max(7 * DAY_SEC)
      .default(7 * DAY_SEC)
      .describe('How old an answer may be that is reported on by its token, in seconds.'),
  })
  .strict();

export type FeedbackSettings = z.infer<typeof feedbackSchema>;
