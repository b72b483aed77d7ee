/** What this worker holds of one kind of work. */
import { beat, type Hold, type Work } from '../core/ownership.js';
import type { Db } from '../core/schema.js';
import { AppError, messageOf } from '../errors.js';
import type { Log } from '../log.js';

const BEAT_MS = 1000;

/** One attempt under way. */
export interface Holding {
  /** Aborts when the attempt is to stop. */
  readonly signal: AbortSignal;
  /** Why it is to stop: on request, or because it is another worker's by now. */
  readonly why: 'cancelled' | 'lost' | undefined;
  /** It has ended. */
  release(): void;
}

interface Entry {
  readonly attempt: number;
  readonly stop: AbortController;
  why: 'cancelled' | 'lost' | undefined;
}

/** Says of all of it once a second, in one statement, that it lives, and hears what is to stop. */
export class Holdings {
  private readonly entries = new Map<string, Entry>();
  private readonly timer = setInterval(() => void this.beat(), BEAT_MS);
  private beating = false;

  constructor(
    private readonly db: Db,
    private readonly work: Work,
    private readonly owner: string,
    private readonly log: Log,
  ) {}

  hold({ id, attempt }: Hold): Holding {
    const entry: Entry = { attempt, stop: new AbortController(), why: undefined };
    this.entries.set(id, entry);
    return {
      signal: entry.stop.signal,
      get why() {
        return entry.why;
      },
      release: () => {
        if (this.entries.get(id) === entry) this.entries.delete(id);
      },
    };
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async beat(): Promise<void> {
    if (this.beating || this.entries.size === 0) return;
    this.beating = true;
    const asked = new Map(this.entries);
    try {
      const mine = new Map((await beat(this.db, this.work, this.owner, [...asked.keys()])).map((row) => [row.id, row]));
      for (const [id, entry] of asked) {
        const row = mine.get(id);
        if (row?.attempt !== entry.attempt) this.stop(entry, 'lost', 'it was given to another worker');
        else if (row.cancelRequested) this.stop(entry, 'cancelled', 'cancelled on request');
      }
    } catch (error) {
      // a database that is away for a while ends nothing; others take over only when it is back and we stay silent
      this.log.warn('cannot tell the database that work lives', { work: this.work, error: messageOf(error) });
    } finally {
      this.beating = false;
    }
  }

  private stop(entry: Entry, why: 'cancelled' | 'lost', words: string): void {
    if (entry.why !== undefined) return;
    entry.why = why;
    entry.stop.abort(new AppError('cancelled', words));
  }
}
