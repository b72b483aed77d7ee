import { modelNameOf, type RevisionRoute } from '../../core/inference/route.js';
import { type ErrorCode, WIRE } from '../../errors.js';
import type { HeaderFields } from '../http/exchange.js';
import type { Services } from '../services.js';
import type { Verb } from './paths.js';

/** What a model server is asked: what the client asked, or a message of the gRPC service. */
export type UpstreamVerb = Verb | 'protobuf';

/** What is known and kept of a revision because every one of its answers needs it. */
export interface RevisionMeter {
  /** `cached`: an answer that was kept from before, which says nothing of the revision now. */
  record(latencyMs: number, status: number, cached?: boolean): void;
  /** It could not serve a request, which went to another revision: a failure of this one all the same. */
  fellBack(latencyMs: number, code: ErrorCode): void;
  /** A replica's headers with those that say which revision answered. Those of a frozen object are made once. */
  headersOf(replica: HeaderFields): HeaderFields;
  /** The headers that say which revision answered, alone. Always the same object. */
  readonly own: Readonly<Record<string, string>>;
  /** The path of a request to the revision's model server. */
  readonly paths: Readonly<Record<UpstreamVerb, string>>;
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

const STATUS_CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;

function createMeter({ metrics, statistics, clock }: Services, route: RevisionRoute): RevisionMeter {
  const labels = { endpoint: route.endpoint, revision: String(route.number) };
  const latency = metrics.latency.cell(labels);
  const byStatus = STATUS_CLASSES.map((status) => metrics.predictions.cell({ ...labels, status }));
  const counter = statistics.counterOf(route.endpointId, route.number);
  const own = Object.freeze({ 'sluice-revision': labels.revision, 'sluice-model-version': String(route.modelVersion) });
  const shared = new WeakMap<HeaderFields, HeaderFields>();
  return {
    own,
    paths: pathsOf(encodeURIComponent(modelNameOf(route))),
    record(latencyMs, status, cached) {
      latency.observe(latencyMs / 1000);
      byStatus[Math.floor(status / 100) - 1]?.inc();
      if (cached !== true) counter.record(clock.now(), latencyMs, status >= 500);
    },
    fellBack(latencyMs, code) {
      // also for one that was refused: nobody would hear of it otherwise
      this.record(latencyMs, Math.max(503, WIRE[code].http));
      metrics.fallbacks.inc({ ...labels, code });
    },
    headersOf(replica) {
      let headers = shared.get(replica);
      if (!headers) {
        headers = { ...replica, ...own };
        if (Object.isFrozen(replica)) shared.set(replica, Object.freeze(headers));
      }
      return headers;
    },
  };
}

function pathsOf(model: string): Record<UpstreamVerb, string> {
  return {
    infer: `/v2/models/${model}/infer`,
    protobuf: `/v2/models/${model}/infer/protobuf`,
    predict: `/v1/models/${model}:predict`,
    explain: `/v1/models/${model}:explain`,
  };
}
