import { expect, test } from 'vitest';
import type { Forward } from '../../core/inference/forward.js';
import { ask } from '../../core/inference/forward.js';
import { type Behind, ingressError, pastIngress } from './ingress-answers.js';

const text = { 'content-type': 'text/plain' };
const json = { 'content-type': 'application/json' };

test.each<[string, number, Record<string, string>, string, Behind, string | undefined]>([
  ['an answer', 200, json, '', 'runtime', undefined],
  ['an error of our model server', 503, { ...json, 'sluice-error-code': 'not_ready' }, '', 'runtime', undefined],
  ['an ingress that does not know the host', 404, text, '404 page not found', 'runtime', 'not_ready'],
  ['a full queue of queue-proxy', 503, text, 'pending request queue full', 'runtime', 'overloaded'],
  ['an ingress without a pod', 503, text, 'no healthy upstream', 'runtime', 'not_ready'],
  ['a pod that broke off', 502, text, 'EOF', 'runtime', 'upstream_failed'],
  ['a time limit of Knative', 504, text, 'request timeout', 'runtime', 'timeout'],
  ['a refusal with JSON of another server', 503, json, '{"detail":"busy"}', 'server', undefined],
  ['a path that another server does not know', 404, text, 'not found', 'server', undefined],
  ['Envoy, of its own', 404, { server: 'envoy' }, '', 'server', 'not_ready'],
  ['Envoy, of the server', 404, { server: 'envoy', 'x-envoy-upstream-service-time': '1' }, '', 'server', undefined],
  ['a bad request', 400, text, 'bad', 'runtime', undefined],
])('%s', (_, status, headers, body, behind, code) => {
  expect(ingressError({ status, headers }, body, behind)?.code).toBe(code);
});

const call = { method: 'GET', path: '/', headers: {}, body: Buffer.alloc(0), timeoutMs: 1000 };

/** Answers one after the other. */
function answering(...statuses: readonly number[]): Forward {
  let at = 0;
  return (_, handler) => {
    const status = statuses[Math.min(at++, statuses.length - 1)] ?? 200;
    queueMicrotask(() => handler.onReply({ status, headers: {}, more: false, worked: true }, Buffer.from('x')));
    return { cancel() {}, pause() {}, resume() {} };
  };
}

test('what nobody was asked is asked again until somebody is there', async () => {
  const { reply } = ask(pastIngress(answering(404, 404, 200), 'runtime'), call);
  expect((await reply).status).toBe(200);
});

test('until it is of no use any more', async () => {
  const { reply } = ask(pastIngress(answering(404), 'runtime'), { ...call, timeoutMs: 100 });
  await expect(reply).rejects.toMatchObject({ code: 'not_ready', message: expect.stringContaining('status 404, x') });
});
