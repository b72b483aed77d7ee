import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { endpointOf, revisionOf } from '../../../../tests/support/fleet-bench.js';
import { createResponseCacheMetrics } from '../../../response-cache-metrics.js';
import { ResponseCaches } from './response-caches.js';
import { responseCacheSchema } from './settings.js';

const on = responseCacheSchema.parse({ enabled: true });

function bench() {
  const registry = new Registry();
  const metrics = createResponseCacheMetrics(registry, () => caches.bytes());
  const caches: ResponseCaches = new ResponseCaches({ clock: { now: () => 0 }, metrics });
  const [first, second] = [revisionOf('add.onnx', {}, 1), revisionOf('add.onnx', {}, 2)];
  const keep = (revision: string) =>
    caches.of({ ...endpointOf(first, second), responseCache: on })?.answer(
      { revision, request: 'k' },
      {
        timeoutMs: 1000,
        compute(outcome) {
          outcome.answered({ status: 200, message: Buffer.from(revision) });
          return { cancel: () => {} };
        },
        waiter: { answered: () => {}, failed: () => {} },
      },
    );
  return { caches, registry, first, second, keep };
}

describe('response caches', () => {
  it('are there where they are on, one for each endpoint', () => {
    const { caches, first } = bench();
    expect(caches.of(endpointOf(first))).toBeUndefined();
    const route = { ...endpointOf(first), responseCache: on };
    expect(caches.of(route)).toBeDefined();
    expect(caches.of({ ...route, responseCache: responseCacheSchema.parse({ enabled: true }) })).toBe(caches.of(route));
    expect(caches.of({ ...route, id: 'another' })).not.toBe(caches.of(route));
  });

  it('forget revisions and endpoints that are gone', () => {
    const { caches, first, second, keep } = bench();
    keep(first.key);
    keep(second.key);
    const route = { ...endpointOf(second), responseCache: on };
    caches.sync(route.id, route);
    expect(caches.of(route)?.lookup({ revision: first.key, request: 'k' })).toBeUndefined();
    expect(caches.of(route)?.lookup({ revision: second.key, request: 'k' })?.toString()).toBe(second.key);
    caches.sync(route.id, undefined);
    expect([...caches.bytes()]).toEqual([]);
    expect(caches.of(route)?.lookup({ revision: second.key, request: 'k' })).toBeUndefined();
  });

  it('forget what they kept when they are turned off', () => {
    const { caches, first, keep } = bench();
    keep(first.key);
    caches.sync('ep', endpointOf(first));
    expect([...caches.bytes()]).toEqual([]);
  });

  it('are measured', async () => {
    const { registry, first, keep } = bench();
    keep(first.key);
    keep(first.key);
    const text = await registry.metrics();
    for (const line of [
      'sluice_response_cache_hits_total{endpoint="model",level="memory"} 1',
      'sluice_response_cache_hits_total{endpoint="model",level="shared"} 0',
      'sluice_response_cache_misses_total{endpoint="model"} 1',
      'sluice_response_cache_coalesced_total{endpoint="model"} 0',
    ])
      expect(text).toContain(line);
    expect(text).toMatch(/sluice_response_cache_bytes\{endpoint="model"\} [1-9]/);
  });
});
