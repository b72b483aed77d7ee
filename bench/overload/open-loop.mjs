/**
 * An open-loop load generator: requests leave at random moments (a Poisson process) at a given rate, whether or not those
 * before them were answered, as those of many independent clients do. Each goes out as bytes made beforehand, on a
 * connection that is free, and of its answer only the status, its length and Retry-After are read: what shares the machine
 * with what it measures must cost little.
 *
 *     node open-loop.mjs '{"url", "perSecond", "seconds", "headers", "folder", "count"}'
 *
 * Latencies count from when a request was sent; `lateP99Ms` says how much later than planned that was. Prints one line.
 */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';

const { url, perSecond, seconds, headers, folder, count } = JSON.parse(process.argv[2]);
const { host, hostname, port, pathname } = new URL(url);
const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
const requests = Array.from({ length: count }, (_, at) => {
  const body = readFileSync(join(folder, `body-${at}`));
  const head = `POST ${pathname} HTTP/1.1\r\n${lines.join('')}content-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
});
const admittedMs = [];
const refusedMs = [];
const lateMs = [];
const others = {};
let [sent, unanswered, withoutRetryAfter] = [0, 0, 0];
let allAnswered = () => {};

const note = (what) => {
  others[what] = (others[what] ?? 0) + 1;
};

/** Connections that wait for nothing. */
const free = [];

function connect() {
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
  const connection = { socket, began: undefined, received: '' };
  const answered = (take) => {
    if (connection.began === undefined) return;
    take(performance.now() - connection.began);
    connection.began = undefined;
    if (--unanswered === 0) allAnswered();
  };
  socket.on('data', (chunk) => {
    connection.received += chunk.toString('latin1');
    const end = connection.received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = connection.received.slice(0, end + 2);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    const whole = length !== undefined && connection.received.length >= end + 4 + Number(length);
    if (!whole && length !== undefined) return;
    connection.received = '';
    answered((tookMs) => take(Number(head.slice(9, 12)), head, tookMs));
    // an answer that does not say its length ends nothing that can be seen here
    if (length === undefined || /\r\nconnection: *close\r\n/i.test(head)) socket.destroy();
    else free.push(connection);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    answered(() => note('broken'));
    const at = free.indexOf(connection);
    if (at >= 0) free.splice(at, 1);
  });
  return connection;
}

function take(status, head, tookMs) {
  if (status === 200) admittedMs.push(tookMs);
  else if (status === 429) {
    refusedMs.push(tookMs);
    if (!(Number(/\r\nretry-after: *(\d+)\r\n/i.exec(head)?.[1]) > 0)) withoutRetryAfter++;
  } else note(String(status));
}

function send() {
  const connection = free.pop() ?? connect();
  connection.began = performance.now();
  unanswered++;
  connection.socket.write(requests[sent++ % count]);
}

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
for (const { socket } of free) socket.destroy();

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
