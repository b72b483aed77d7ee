/** What clients are told besides predictions, in plain data: HTTP and gRPC print it each in its own way. */
import type { Caller } from '../../core/access/key.js';
import type { EndpointRoute } from '../../core/inference/route.js';
import { AppError, asAppError } from '../../errors.js';
import type { ModelStatistics } from '../../protocol/statistics.js';
import { callerOf, visibleEndpoints } from './access.js';
import { indexOf, type RepositoryLine } from './model-info.js';
import { type Destination, type HeaderSource, type Named, type Plane, route } from './plane.js';
import { statisticsOf } from './replica-statistics.js';

export const SERVER = {
  name: 'sluice',
  version: '2',
  extensions: [
    'binary_tensor_data',
    'model_repository',
    'model_repository(unload_dependents)',
    'model_configuration',
    'statistics',
    'logging',
    'trace',
  ],
};

/** Who asks. */
export function askerOf({ services }: Plane, source: HeaderSource): Caller {
  return callerOf(services, { authorization: source.header('authorization'), apiKey: source.header('x-api-key') });
}

/** The endpoint and revision that a question is about: as a prediction would be routed, but for chance. */
export async function about(plane: Plane, source: HeaderSource, named: Named): Promise<Destination> {
  return route(plane, source, named);
}

/** Whether a model would be served, if perhaps not without a start first. What is not known is not ready. */
export async function isReady(plane: Plane, source: HeaderSource, named: Named): Promise<boolean> {
  try {
    await about(plane, source, named);
    return true;
  } catch (error) {
    const { code } = asAppError(error);
    if (code === 'not_ready' || code === 'not_found') return false;
    throw error;
  }
}

/** The endpoints that the caller may use. */
export function endpointsFor(plane: Plane, source: HeaderSource): EndpointRoute[] {
  return visibleEndpoints(plane.services, askerOf(plane, source));
}

/** The repository index; `onlyReady` leaves out what is not served. */
export function repositoryIndex(plane: Plane, source: HeaderSource, onlyReady: boolean): RepositoryLine[] {
  const lines = endpointsFor(plane, source).flatMap(indexOf);
  return onlyReady ? lines.filter((line) => line.state === 'READY') : lines;
}

/** Statistics of one revision, or of all that have traffic. */
export async function modelStatistics(
  plane: Plane,
  source: HeaderSource,
  named: Named | undefined,
): Promise<ModelStatistics[]> {
  const { fleet } = plane.services;
  if (named) {
    const { endpoint, revision } = await about(plane, source, named);
    return [await statisticsOf(fleet, endpoint, revision)];
  }
  return Promise.all(
    endpointsFor(plane, source).flatMap((endpoint) =>
      endpoint.targets.map(({ revision }) => statisticsOf(fleet, endpoint, revision)),
    ),
  );
}

/** Trace settings of Triton's extension, as they are without its own tracing: what is sent on is the W3C trace context. */
export const TRACE_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  trace_level: ['OFF'],
  trace_rate: ['1000'],
  trace_count: ['-1'],
  log_frequency: ['0'],
  trace_file: [''],
  trace_mode: ['triton'],
};

/** Takes trace settings that leave things as they are; refuses what would need Triton's own tracing. */
export function checkTraceSettings(settings: Readonly<Record<string, readonly string[] | null>>): void {
  for (const [name, value] of Object.entries(settings)) {
    const present = TRACE_SETTINGS[name];
    if (!present) throw new AppError('invalid', `there is no trace setting "${name.slice(0, 100)}"`);
    if (value === null || value.length === 0 || String(value) === String(present)) continue;
    throw new AppError(
      'unsupported',
      `trace setting ${name} is "${String(value).slice(0, 100)}"; there is no tracing of this kind, ` +
        'traces are found by the W3C trace context that is passed on',
    );
  }
}
