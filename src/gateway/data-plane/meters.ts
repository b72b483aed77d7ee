import type { RevisionRoute } from '../../core/inference/route.js';
import type { Services } from '../services.js';

/** Where the answers of one revision are counted; its labels are looked up once. */
export interface RevisionMeter {
  /** Number of the revision, and of its model version, as headers say them. */
  readonly revision: string;
  readonly version: string;
  record(latencyMs: number, status: number): void;
}

const MAX_METERS = 100_000;

/** The meters of all revisions that were asked for. */
export function createMeters(services: Services): (route: RevisionRoute) => RevisionMeter {
  const meters = new Map<string, RevisionMeter>();
  return (route) => {
    let meter = meters.get(route.key);
    if (!meter) {
      meter = createMeter(services, route);
      if (meters.size >= MAX_METERS) meters.clear();
      meters.set(route.key, meter);
    }
    return meter;
  };
}

function createMeter(services: Services, route: RevisionRoute): RevisionMeter {
  const labels = { endpoint: route.endpoint, revision: String(route.number) };
  const latency = services.metrics.latency.labels(labels);
  const byStatus = ['1xx', '2xx', '3xx', '4xx', '5xx'].map((status) =>
    services.metrics.predictions.labels({ ...labels, status }),
  );
  return {
    revision: labels.revision,
    version: String(route.modelVersion),
    record(latencyMs, status) {
      latency.observe(latencyMs / 1000);
      byStatus[Math.floor(status / 100) - 1]?.inc();
      services.statistics.record(route.endpointId, route.number, services.clock.now(), latencyMs, status >= 500);
    },
  };
}
