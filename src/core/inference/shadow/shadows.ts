/**
 * Copies of real requests to shadow revisions. A request goes its own way first; its copies follow in a later turn of the
 * event loop, share its bytes, and take nothing that a real request waits for. Whatever becomes of them, the one who asked
 * hears the real answer alone.
 */
import type { Exchange, ReplyHandler } from '../forward.js';
import { shadowsFor } from './choose.js';
import { CopiedRequest, type CopyHouse, type ShadowedRequest } from './copied-request.js';
import { PacedQueue } from './paced-queue.js';
import { EndpointShadows, type RecordDeps } from './record.js';

export interface ShadowsOptions extends RecordDeps {
  /** Processes that share the endpoint's bound of copies under way. */
  readonly processes: number;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Most that copies hold in one process: bodies of requests, and answers until they are compared. */
const MOST_BYTES = 64 * 2 ** 20;
/** Most comparisons that wait. */
const MOST_WAITING = 1000;

export class Shadows implements CopyHouse {
  readonly comparisons = new PacedQueue(MOST_WAITING);
  private readonly endpoints = new Map<string, EndpointShadows>();
  private bytes = 0;
  /** Those whose copies are to be sent when this turn of the event loop is over. */
  private next: CopiedRequest[] = [];

  constructor(readonly options: ShadowsOptions) {}

  /** Bytes that copies hold now. */
  get held(): number {
    return this.bytes;
  }

  /** Starts a request, and its copies after it. */
  begin(request: ShadowedRequest, handler: ReplyHandler, start: (handler: ReplyHandler) => Exchange): Exchange {
    const revisions = shadowsFor(request.shadow, request.revision, this.options.random);
    if (revisions.length === 0) return start(handler);
    const record = this.of(request.revision.endpointId);
    if (request.bytes > request.shadow.settings.maxBodyBytes) {
      for (const revision of revisions) record.of(revision).dropped('too_large');
      return start(handler);
    }
    const original = new CopiedRequest(this, record, request, revisions, handler);
    original.exchange = start(original);
    this.next.push(original);
    if (this.next.length === 1) setImmediate(this.sendCopies);
    return original;
  }

  /** What this process knows of an endpoint's shadows. */
  known(endpointId: string): EndpointShadows | undefined {
    return this.endpoints.get(endpointId);
  }

  forget(endpointId: string): void {
    this.endpoints.delete(endpointId);
  }

  hold(bytes: number): boolean {
    if (this.bytes + bytes > MOST_BYTES) return false;
    this.bytes += bytes;
    return true;
  }

  letGo(bytes: number): void {
    this.bytes -= bytes;
  }

  private of(endpointId: string): EndpointShadows {
    let known = this.endpoints.get(endpointId);
    if (!known) {
      known = new EndpointShadows(this.options);
      this.endpoints.set(endpointId, known);
    }
    return known;
  }

  private readonly sendCopies = (): void => {
    const { next } = this;
    this.next = [];
    for (const original of next) original.sendCopies();
  };
}
