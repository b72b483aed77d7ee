import type { Clock } from '../../clock.js';
import type { Blobs } from '../blobs.js';
import type { AskGateway } from '../gateways/ask.js';
import type { Db } from '../schema.js';

/** What working on a batch prediction takes. */
export interface BatchDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly ask: AskGateway;
  readonly clock: Clock;
  /** Most bytes of tensors in one request. */
  readonly maxRequestBytes: number;
}
