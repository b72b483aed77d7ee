/**
 * An open-loop load generator: requests leave at random moments (a Poisson process) at a given rate, whether or not those
 * before them were answered, as those of many independent clients do.
 *
 *     node open-loop.mjs '{"url", "perSecond", "seconds", "headers", "folder", "count"}'
 *
 * Latencies count from when a request was sent; `lateP99Ms` says how much later than planned that was. Prints one line.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

const { url, perSecond, seconds, headers, folder, count } = JSON.parse(process.argv[2]);
const bodies = Array.from({ length: count }, (_, at) => readFileSync(join(folder, `body-${at}`)));
const agent = new http.Agent({ keepAlive: true });
const admittedMs = [];
const refusedMs = [];
const lateMs = [];
const others = {};
let [sent, unanswered, withoutRetryAfter] = [0, 0, 0];

const answered = (response, tookMs) => {
  if (response.statusCode === 200) admittedMs.push(tookMs);
  else if (response.statusCode === 429) {
    refusedMs.push(tookMs);
    if (!(Number(response.headers['retry-after']) > 0)) withoutRetryAfter++;
  } else note(String(response.statusCode));
};
const note = (what) => {
  others[what] = (others[what] ?? 0) + 1;
};

let allAnswered = () => {};
const send = () => {
  const body = bodies[sent++ % count];
  const began = performance.now();
  let done = false;
  const end = (finish) => {
    if (done) return;
    done = true;
    finish();
    if (--unanswered === 0) allAnswered();
  };
  unanswered++;
  const options = { agent, method: 'POST', headers: { ...headers, 'content-length': body.length } };
  const request = http.request(url, options, (response) => {
    response.resume();
    response.on('error', () => end(() => note('broken')));
    response.on('end', () => end(() => answered(response, performance.now() - began)));
  });
  request.on('error', () => end(() => note('broken')));
  request.end(body);
};

const began = performance.now();
const gapMs = () => (-Math.log(1 - Math.random()) * 1000) / perSecond;
for (let due = began + gapMs(); due < began + seconds * 1000; due += gapMs()) {
  const wait = due - performance.now();
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  lateMs.push(performance.now() - due);
  send();
}
if (unanswered > 0) {
  await new Promise((resolve) => {
    allAnswered = resolve;
  });
}
agent.destroy();

const quantile = (values, q) => values.sort((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? null;
const summary = (values) => ({ count: values.length, p50Ms: quantile(values, 0.5), p99Ms: quantile(values, 0.99) });
console.log(
  JSON.stringify({
    sent,
    admitted: summary(admittedMs),
    refused: { ...summary(refusedMs), withoutRetryAfter },
    others,
    lateP99Ms: quantile(lateMs, 0.99),
  }),
);
