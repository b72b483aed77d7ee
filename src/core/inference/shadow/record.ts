/** What one gateway process remembers of an endpoint's shadows, and whom it tells. */
import type { Clock } from '../../../clock.js';
import type { ShadowMetrics } from '../../../shadow-metrics.js';
import type { Observations } from '../observations.js';
import type { RevisionRoute } from '../route.js';
import type { Comparison, Difference } from './compare.js';

/** Why a copy was not made, or came to nothing. */
export type ShadowDrop =
  /** As many copies as may be are under way. */
  | 'in_flight'
  /** What copies and their answers hold in memory is all they may. */
  | 'memory'
  | 'too_large'
  /** The shadow has all it takes, and a full queue. */
  | 'overloaded'
  /** It failed many times in a row: it is tried once a second. */
  | 'failing'
  /** The real request was not answered, or its client left. */
  | 'no_answer'
  | 'streamed'
  /** The real answer is not in the request's form. */
  | 'unreadable'
  /** More comparisons wait than may. */
  | 'behind';

/** Names of what is observed of a shadow revision, in Postgres. */
export const SHADOW_DISAGREEMENT = 'shadow.disagreement';
export const SHADOW_ERROR = 'shadow.error';
/** Counted alone. */
export const SHADOW_DROPPED = 'shadow.dropped';

/** An answer that differed. */
export interface ShadowExample extends Difference {
  readonly at: Date;
  readonly requestId: string;
  readonly realRevision: number;
  readonly shadowRevision: number;
}

const EXAMPLES_KEPT = 20;

/** From so many failures in a row on a shadow is given a rest, because failing takes time, too. */
const FAILING_AFTER = 10;
const REST_MS = 1000;

export interface RecordDeps {
  readonly metrics: ShadowMetrics;
  readonly observations: Observations;
  readonly clock: Clock;
}

/** Of one endpoint. */
export class EndpointShadows {
  /** Copies under way. */
  inFlight = 0;
  /** Newest last. */
  readonly examples: ShadowExample[] = [];
  private readonly revisions = new Map<number, RevisionShadow>();

  constructor(private readonly deps: RecordDeps) {}

  of(route: RevisionRoute): RevisionShadow {
    let known = this.revisions.get(route.number);
    if (!known) {
      known = new RevisionShadow(this.deps, route);
      this.revisions.set(route.number, known);
    }
    return known;
  }

  known(revision: number): RevisionShadow | undefined {
    return this.revisions.get(revision);
  }

  keep(example: ShadowExample): void {
    this.examples.push(example);
    if (this.examples.length > EXAMPLES_KEPT) this.examples.shift();
  }
}

/** Of one revision that is a shadow: its counters, its largest difference and its last failure. */
export class RevisionShadow {
  largest = 0;
  lastFailure: string | undefined;
  private failures = 0;
  private restUntil = 0;
  private readonly cells: ReturnType<typeof cellsOf>;

  constructor(
    private readonly deps: RecordDeps,
    private readonly route: RevisionRoute,
  ) {
    this.cells = cellsOf(deps.metrics, route);
  }

  /** Whether it failed so often that it is not tried now. */
  get rests(): boolean {
    return this.failures >= FAILING_AFTER && this.deps.clock.now() < this.restUntil;
  }

  sent(): void {
    if (this.failures >= FAILING_AFTER) this.restUntil = this.deps.clock.now() + REST_MS;
    this.cells.copies.inc();
  }

  dropped(reason: ShadowDrop): void {
    this.deps.metrics.dropped.cell({ ...labelsOf(this.route), reason }).inc();
    this.observe(SHADOW_DROPPED, true);
  }

  answered(latencyMs: number): void {
    this.failures = 0;
    this.cells.latency.observe(latencyMs / 1000);
    this.observe(SHADOW_ERROR, false);
  }

  failed(why: string): void {
    this.failures++;
    this.restUntil = this.deps.clock.now() + REST_MS;
    this.lastFailure = why;
    this.cells.failed.inc();
    this.observe(SHADOW_ERROR, true);
  }

  compared({ differences, largest }: Comparison): void {
    if (largest > this.largest) this.largest = largest;
    const disagreed = differences.length > 0;
    this.cells.compared.inc();
    if (disagreed) this.cells.disagreed.inc();
    this.observe(SHADOW_DISAGREEMENT, disagreed);
  }

  private observe(metric: string, yes: boolean): void {
    const { endpointId, number: revision } = this.route;
    const { observations, clock } = this.deps;
    observations.observe({ endpointId, revision, metric }, { value: yes ? 1 : 0 }, clock.now());
  }
}

function labelsOf({ endpoint, number }: RevisionRoute) {
  return { endpoint, revision: String(number) };
}

function cellsOf({ copies, compared, disagreed, failed, latency }: ShadowMetrics, route: RevisionRoute) {
  const labels = labelsOf(route);
  return {
    copies: copies.cell(labels),
    compared: compared.cell(labels),
    disagreed: disagreed.cell(labels),
    failed: failed.cell(labels),
    latency: latency.cell(labels),
  };
}
