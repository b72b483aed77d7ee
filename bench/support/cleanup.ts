import { AppError, messageOf } from '../../src/errors.js';

/** What must be undone however a benchmark ends, Ctrl-C included: processes to end, folders to remove. */
export class Cleanup {
  private readonly pending = new Set<() => Promise<void>>();
  private over = false;

  /** Throws `cancelled` once the end has begun: nothing new may start then. */
  throwIfOver(): void {
    if (this.over) throw new AppError('cancelled', 'the benchmark was ended');
  }

  /** Answers a function that undoes it now; `run` then has nothing left to do for it. `cancelled` after the end. */
  add(undo: () => Promise<void>): () => Promise<void> {
    this.throwIfOver();
    let done: Promise<void> | undefined;
    const once = () => {
      done ??= undo().finally(() => this.pending.delete(once));
      return done;
    };
    this.pending.add(once);
    return once;
  }

  /** Undoes what is left, the last first. */
  async run(): Promise<void> {
    this.over = true;
    for (const undo of [...this.pending].reverse()) {
      await undo().catch((error) => console.error(`could not be cleaned up: ${messageOf(error)}`));
    }
  }
}
