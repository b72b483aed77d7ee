/**
 * How many further attempts may be under way at once: a share of the requests that are, and a few in any case. When a
 * revision is in trouble its clients' requests are multiplied by no more than that (Envoy's retry budget: 20 %, never below
 * 3). Asked only when something failed or is slow; a request that is answered at once costs nothing.
 */
import type { HedgeSettings, RetrySettings } from './resilience.js';

/** Permission for one attempt; give it back when that is over, once. */
export interface Token {
  giveBack(): void;
}

interface Budget {
  retries: number;
  hedges: number;
}

export class RetryBudgets {
  private readonly budgets = new Map<string, Budget>();

  /** For another attempt of one of `active` requests of a revision; undefined when too many are under way. */
  retry(key: string, active: number, settings: RetrySettings): Token | undefined {
    const budget = this.budgets.get(key);
    return this.isSpent(budget, active, settings) ? undefined : this.take(key, 'retries');
  }

  /** For a second attempt beside the first; it counts as a retry, too. */
  hedge(key: string, active: number, settings: RetrySettings, hedge: HedgeSettings): Token | undefined {
    const budget = this.budgets.get(key);
    const most = Math.max(1, Math.floor((active * hedge.maxPercent) / 100));
    if ((budget?.hedges ?? 0) >= most || this.isSpent(budget, active, settings)) return undefined;
    return this.take(key, 'hedges');
  }

  /** Further attempts under way. */
  spent(key: string): number {
    const budget = this.budgets.get(key);
    return budget ? budget.retries + budget.hedges : 0;
  }

  private isSpent(budget: Budget | undefined, active: number, settings: RetrySettings): boolean {
    const most = Math.max(settings.minConcurrent, Math.floor((active * settings.budgetPercent) / 100));
    return (budget ? budget.retries + budget.hedges : 0) >= most;
  }

  private take(key: string, kind: keyof Budget): Token {
    let budget = this.budgets.get(key);
    if (!budget) {
      budget = { retries: 0, hedges: 0 };
      this.budgets.set(key, budget);
    }
    const held = budget;
    held[kind]++;
    let over = false;
    return {
      giveBack: () => {
        if (over) return;
        over = true;
        held[kind]--;
        if (held.retries + held.hedges === 0 && this.budgets.get(key) === held) this.budgets.delete(key);
      },
    };
  }
}
