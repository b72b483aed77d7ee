/**
 * A small load generator for where wrk is not installed: each connection sends its next request when it has its answer.
 *
 *     node load.mjs URL CONNECTIONS SECONDS KEY < BODY
 *
 * It needs more processor than wrk, so rates measured with the two cannot be compared.
 */
import http from 'node:http';

const [url, connections, seconds, key] = process.argv.slice(2);
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const body = Buffer.concat(chunks);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(connections) });
const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': body.length };
const latencies = [];
let errors = 0;
const began = performance.now();
const until = began + Number(seconds) * 1000;

const once = () =>
  new Promise((resolve) => {
    const sent = performance.now();
    const fail = () => {
      errors++;
      resolve();
    };
    const request = http.request(url, { agent, method: 'POST', headers }, (response) => {
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
await Promise.all(Array.from({ length: Number(connections) }, client));
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
