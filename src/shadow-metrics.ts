/** What shadows measure: apart from everything that is measured of real requests. Documented in docs/metrics.md. */
import type { Registry } from 'prom-client';
import { CellCounter, CellHistogram } from './metric-cells.js';

type Of = 'endpoint' | 'revision';

export interface ShadowMetrics {
  /** Copies that were sent. */
  readonly copies: CellCounter<Of>;
  readonly compared: CellCounter<Of>;
  readonly disagreed: CellCounter<Of>;
  /** Copies that were answered with 5xx, or not at all. */
  readonly failed: CellCounter<Of>;
  /** Copies that were not made or not compared, by reason. */
  readonly dropped: CellCounter<Of | 'reason'>;
  readonly latency: CellHistogram<Of>;
}

export function createShadowMetrics(registry: Registry, latencyBounds: readonly number[]): ShadowMetrics {
  const of = ['endpoint', 'revision'] as const;
  const counter = (name: string, help: string) => new CellCounter({ name, help, labelNames: of }).registerIn(registry);
  return {
    copies: counter('sluice_shadow_copies_total', 'Copies of requests that were sent to a shadow.'),
    compared: counter(
      'sluice_shadow_compared_total',
      "Answers of a shadow that were compared with the real request's.",
    ),
    disagreed: counter('sluice_shadow_disagreed_total', 'Answers of a shadow that differed from the real one.'),
    failed: counter('sluice_shadow_failed_total', 'Copies that a shadow answered with 5xx, or not at all.'),
    dropped: new CellCounter({
      name: 'sluice_shadow_dropped_total',
      help: 'Copies that were not made, or whose answers were not compared.',
      labelNames: [...of, 'reason'],
    }).registerIn(registry),
    latency: new CellHistogram({
      name: 'sluice_shadow_seconds',
      help: 'Time from the sending of a copy to its answer, waiting included.',
      labelNames: of,
      bounds: latencyBounds,
    }).registerIn(registry),
  };
}
