/**
 * The answers of one endpoint that are kept, and its requests under way that others may wait for. Stands in front of
 * whatever predicts; what it keeps is the same for all protocols.
 */
import type { CounterCell } from '../../../metric-cells.js';
import { ByteLru } from './byte-lru.js';
import { type Asking, type Computation, Flight, type SharedAnswer } from './flight.js';
import type { ResponseCacheSettings } from './settings.js';
import type { SharedCache } from './shared-cache.js';

/** Which answer: of which revision (its route's key), to which request (`requestKey`). */
export interface CacheKey {
  readonly revision: string;
  readonly request: string;
}

export interface CacheCounters {
  readonly memoryHits: CounterCell;
  readonly sharedHits: CounterCell;
  /** Requests that went to the model. */
  readonly misses: CounterCell;
  /** Requests that waited for another one's answer. */
  readonly coalesced: CounterCell;
}

export interface EndpointCacheOptions {
  readonly counters: CacheCounters;
  readonly clock: { now(): number };
  readonly shared: SharedCache | undefined;
}

const NOTHING_TO_CANCEL: Computation = Object.freeze({ cancel: () => {} });
const OK = 200;
/** Requests remembered for their large answers. */
const MAX_LARGE = 1000;

export class EndpointCache {
  private readonly kept: ByteLru;
  private readonly flights = new Map<string, Flight>();
  /** Requests whose answers were too large to be held: to wait for one another would be in vain. */
  private readonly large = new Set<string>();

  constructor(
    private settings: ResponseCacheSettings,
    private readonly options: EndpointCacheOptions,
  ) {
    this.kept = new ByteLru(settings.maxBytes);
  }

  /** Memory of the answers that are kept. */
  get bytes(): number {
    return this.kept.bytes;
  }

  /** A larger answer is not kept. */
  get maxEntryBytes(): number {
    return this.settings.maxEntryBytes;
  }

  /** Takes other settings. What is kept already keeps its time. */
  configure(settings: ResponseCacheSettings): void {
    if (settings === this.settings) return;
    this.settings = settings;
    this.kept.resize(settings.maxBytes);
  }

  /** The message of a kept answer: a view that must not be written to. Counts a hit. */
  lookup(key: CacheKey): Buffer | undefined {
    return this.lookUp(nameOf(key));
  }

  /**
   * Answers from what is kept, at once; else with an answer that somebody waits for already, or that a gateway beside this
   * one has kept; else has it computed.
   */
  answer(key: CacheKey, asking: Asking): Computation {
    const name = nameOf(key);
    const kept = this.lookUp(name);
    if (kept) {
      asking.waiter.answered({ status: OK, message: kept }, 'memory');
      return NOTHING_TO_CANCEL;
    }
    const underWay = this.flights.get(name);
    if (underWay) {
      this.options.counters.coalesced.inc();
      return underWay.join(asking);
    }
    return this.begin(name, asking);
  }

  /** Forgets what revisions other than these answered. Requests under way are answered, and not kept. */
  keepOnly(revisions: ReadonlySet<string>): void {
    const gone = (name: string) => !revisions.has(revisionOf(name));
    this.kept.deleteWhere(gone);
    for (const name of [...this.flights.keys()]) if (gone(name)) this.flights.delete(name);
  }

  private lookUp(name: string): Buffer | undefined {
    const value = this.kept.get(name, this.options.clock.now());
    if (value) this.options.counters.memoryHits.inc();
    return value;
  }

  private begin(name: string, asking: Asking): Computation {
    const { shared, counters } = this.options;
    const flight: Flight = new Flight({
      led: () => counters.misses.inc(),
      computed: (answer) => this.computed(name, flight, answer),
      alone: () => this.rememberLarge(name),
      ended: () => {
        if (this.flights.get(name) === flight) this.flights.delete(name);
      },
    });
    const member = flight.join(asking);
    const large = this.large.has(name);
    if (!large) this.flights.set(name, flight);
    if (shared && !large) void this.askShared(shared, name, flight);
    else flight.lead();
    return member;
  }

  private rememberLarge(name: string): void {
    if (this.large.size >= MAX_LARGE) this.large.clear();
    this.large.add(name);
  }

  private async askShared(shared: SharedCache, name: string, flight: Flight): Promise<void> {
    const found = await shared.get(name);
    if (!found) {
      flight.lead();
      return;
    }
    this.options.counters.sharedHits.inc();
    if (this.flights.get(name) === flight) this.keep(name, found.value, found.ttlMs);
    flight.settle({ status: OK, message: found.value }, () => 'shared');
  }

  private computed(name: string, flight: Flight, { status, message }: SharedAnswer): void {
    // a flight that is not listed any more is of a revision that is gone
    if (status !== OK || this.flights.get(name) !== flight) return;
    const ttlMs = this.settings.ttlSec * 1000;
    if (this.keep(name, message, ttlMs)) this.options.shared?.set(name, message, ttlMs);
  }

  /** Whether it is not too large to be kept. */
  private keep(name: string, message: Buffer, ttlMs: number): boolean {
    if (message.length > this.settings.maxEntryBytes) return false;
    this.kept.set(name, message, this.options.clock.now() + ttlMs);
    return true;
  }
}

function nameOf({ revision, request }: CacheKey): string {
  return `${revision}:${request}`;
}

function revisionOf(name: string): string {
  return name.slice(0, name.lastIndexOf(':'));
}
