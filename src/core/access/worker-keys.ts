/** Keys that a worker makes for itself, to ask gateways on behalf of projects. */
import type { Clock } from '../../clock.js';
import type { Db } from '../schema.js';
import { createKey } from './store.js';

const LIFE_MS = 3_600_000;
/** A key with less life than this left is not used for anything new. */
const RENEW_MS = 600_000;

interface WorkerKey {
  readonly key: Promise<string>;
  readonly expiresAtMs: number;
}

export class WorkerKeys {
  private readonly byProject = new Map<string, WorkerKey>();

  constructor(
    private readonly db: Db,
    private readonly owner: string,
    private readonly clock: Clock,
  ) {}

  /** A live key of the project, of role predict. `renew` when the last one is not taken any more. */
  keyFor(project: string, renew = false): Promise<string> {
    const known = this.byProject.get(project);
    if (known && !renew && known.expiresAtMs - this.clock.now() > RENEW_MS) return known.key;
    const expiresAtMs = this.clock.now() + LIFE_MS;
    const expiresAt = new Date(expiresAtMs);
    const name = `worker ${this.owner}`;
    const key = createKey(this.db, { project, name, role: 'predict', expiresAt, internal: true }).then(
      (made) => made.key,
    );
    const entry = { key, expiresAtMs };
    this.byProject.set(project, entry);
    // one that could not be made is made when it is next asked for
    key.catch(() => {
      if (this.byProject.get(project) === entry) this.byProject.delete(project);
    });
    return key;
  }
}
