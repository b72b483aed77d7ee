/** Keys that a worker makes for itself, to ask gateways on behalf of projects. */
import type { Clock } from '../../clock.js';
import type { Db } from '../schema.js';
import { createKey } from './store.js';

const LIFE_MS = 3_600_000;
/** A key with less life than this left is not used for anything new. */
const RENEW_MS = 600_000;

interface WorkerKey {
  readonly key: Promise<string>;
  /** The same, once it is made. */
  made: string | undefined;
  readonly expiresAtMs: number;
}

export class WorkerKeys {
  private readonly byProject = new Map<string, WorkerKey>();

  constructor(
    private readonly db: Db,
    private readonly owner: string,
    private readonly clock: Clock,
  ) {}

  /**
   * A live key of the project, of role predict; another one than was `refused`. Of many requests that are refused with the
   * same key, the first makes the next one for all.
   */
  keyFor(project: string, refused?: string): Promise<string> {
    const known = this.byProject.get(project);
    const isGood = known && (refused === undefined || known.made !== refused);
    if (isGood && known.expiresAtMs - this.clock.now() > RENEW_MS) return known.key;
    const expiresAtMs = this.clock.now() + LIFE_MS;
    const expiresAt = new Date(expiresAtMs);
    const name = `worker ${this.owner}`;
    const key = createKey(this.db, { project, name, role: 'predict', expiresAt, internal: true }).then(
      (made) => made.key,
    );
    const entry: WorkerKey = { key, expiresAtMs, made: undefined };
    this.byProject.set(project, entry);
    key.then(
      (made) => {
        entry.made = made;
      },
      () => {
        // one that could not be made is made when it is next asked for
        if (this.byProject.get(project) === entry) this.byProject.delete(project);
      },
    );
    return key;
  }
}
