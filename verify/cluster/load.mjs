/**
 * A client of predictions that runs inside a cluster: requests leave at a bounded rate, or a number of them as fast as so
 * many connections carry, whether or not anything rolls meanwhile. Runs alone, on Node's own modules.
 *
 *     node load.mjs '{"url", "headers", "body", "perSecond", "seconds"}'   at a rate, for a time
 *     node load.mjs '{"url", "headers", "body", "count", "connections"}'   so many
 *
 * A connection that the server closed while it lay idle says nothing of the request that was about to use it: Node tells
 * (`reusedSocket`), and such a request is made again once on a new one, as Go's and Java's clients do by themselves; they
 * are counted. Prints a line of JSON at the end.
 */
import { Agent, request } from 'node:http';

const plan = JSON.parse(process.argv[2]);
const url = new URL(plan.url);
const agent = new Agent({ keepAlive: true, maxSockets: plan.connections ?? 64 });
const body = Buffer.from(plan.body);
const headers = { 'content-type': 'application/json', ...plan.headers, 'content-length': body.length };
const began = Date.now();
const beganAt = performance.now();
const report = { sent: 0, answered: 0, failed: 0, again: 0, byVersion: {}, byStatus: {}, failures: [] };
/** The longest that a request of each second took. */
const longestMs = [];
const latencies = [];

function once() {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent, method: 'POST', headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }));
    });
    outgoing.on('error', (error) => reject(Object.assign(error, { again: outgoing.reusedSocket && isLost(error) })));
    outgoing.end(body);
  });
}

function isLost({ code }) {
  return code === 'ECONNRESET' || code === 'EPIPE';
}

async function predict() {
  const start = performance.now();
  report.sent++;
  try {
    const { status, text } = await once().catch((error) => {
      if (!error.again) throw error;
      report.again++;
      return once();
    });
    report.byStatus[status] = (report.byStatus[status] ?? 0) + 1;
    if (status !== 200) throw new Error(`${status} ${text.slice(0, 300)}`);
    const version = JSON.parse(text).model_version ?? '?';
    report.byVersion[version] = (report.byVersion[version] ?? 0) + 1;
    report.answered++;
    const tookMs = performance.now() - start;
    latencies.push(tookMs);
    const second = Math.floor((start - beganAt) / 1000);
    longestMs[second] = Math.max(longestMs[second] ?? 0, tookMs);
  } catch (error) {
    report.failed++;
    if (report.failures.length < 20)
      report.failures.push(`after ${((Date.now() - began) / 1000).toFixed(1)} s: ${error.message || error.code}`);
  }
}

if (plan.count === undefined) {
  const open = new Set();
  for (let serial = 0; Date.now() - began < plan.seconds * 1000; serial++) {
    const wait = began + (serial * 1000) / plan.perSecond - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const one = predict().finally(() => open.delete(one));
    open.add(one);
  }
  await Promise.all(open);
} else {
  let left = plan.count;
  const connection = async () => {
    while (left-- > 0) await predict();
  };
  await Promise.all(Array.from({ length: plan.connections }, connection));
}
/** Stretches of seconds in which somebody waited for more than a second. */
const waits = [];
for (let second = 0; second < longestMs.length; second++) {
  const ms = Math.round(longestMs[second] ?? 0);
  if (ms <= 1000) continue;
  const last = waits.at(-1);
  if (last && second - last.toSec <= 2) Object.assign(last, { toSec: second, ms: Math.max(last.ms, ms) });
  else waits.push({ fromSec: second, toSec: second, ms });
}
latencies.sort((a, b) => a - b);
const at = (q) => Number((latencies[Math.floor(q * (latencies.length - 1))] ?? 0).toFixed(2));
console.log(
  JSON.stringify({
    ...report,
    waits,
    seconds: (Date.now() - began) / 1000,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
  }),
);
agent.destroy();
