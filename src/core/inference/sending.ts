/** What predictions share: the fleet, and what bounds and counts their further attempts. */
import type { Fleet } from '../fleet.js';
import { AnswerTimes } from './answer-times.js';
import { RetryBudgets } from './retry-budget.js';
import type { RevisionRoute } from './route.js';

/** Told of what is done beyond one attempt; none of it happens to a request that is answered at once. */
export interface AttemptNews {
  retried(revision: RevisionRoute): void;
  /** A failure was the answer, because too many attempts were under way. */
  budgetSpent(revision: RevisionRoute): void;
  hedged(revision: RevisionRoute, outcome: HedgeOutcome): void;
}

/** Won: the second attempt's answer was the first. Lost: it was not waited for any more. Failed: it gave none. */
export type HedgeOutcome = 'won' | 'lost' | 'failed';

export interface Sending {
  readonly fleet: Fleet;
  readonly budgets: RetryBudgets;
  readonly times: AnswerTimes;
  readonly news: AttemptNews;
}

const NO_NEWS: AttemptNews = { retried() {}, budgetSpent() {}, hedged() {} };

export function createSending(fleet: Fleet, news: AttemptNews = NO_NEWS): Sending {
  return { fleet, budgets: new RetryBudgets(), times: new AnswerTimes(), news };
}
