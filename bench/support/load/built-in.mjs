/**
 * A small load generator for where wrk is not installed: each connection sends its next request when it has its answer.
 *
 *     node built-in.mjs '{"url": …, "connections": …, "seconds": …, "headers": {…}, "folder": …, "count": …}'
 *
 * It needs more processor than wrk, so rates measured with the two cannot be compared.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

const { url, connections, seconds, headers, folder, count } = JSON.parse(process.argv[2]);
const bodies = Array.from({ length: count }, (_, at) => readFileSync(join(folder, `body-${at}`)));
const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
const latencies = [];
let sending = 0;
let errors = 0;
const began = performance.now();
const until = began + seconds * 1000;

const once = () =>
  new Promise((resolve) => {
    const body = bodies[sending++ % count];
    const sent = performance.now();
    const fail = () => {
      errors++;
      resolve();
    };
    const options = { agent, method: 'POST', headers: { ...headers, 'content-length': body.length } };
    const request = http.request(url, options, (response) => {
      response.resume();
      response.on('error', fail);
      response.on('end', () => {
        latencies.push(performance.now() - sent);
        if (response.statusCode !== 200) errors++;
        resolve();
      });
    });
    request.on('error', fail);
    request.end(body);
  });
const client = async () => {
  while (performance.now() < until) await once();
};
await Promise.all(Array.from({ length: connections }, client));
const took = (performance.now() - began) / 1000;
latencies.sort((a, b) => a - b);
const at = (q) => latencies[Math.floor(q * (latencies.length - 1))];
console.log(
  JSON.stringify({
    requests: latencies.length,
    perSecond: latencies.length / took,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    errors,
  }),
);
agent.destroy();
