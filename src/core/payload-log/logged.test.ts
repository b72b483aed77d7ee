import { describe, expect, it } from 'vitest';
import { endpointOf, revisionOf } from '../../../tests/support/fleet-bench.js';
import { AppError } from '../../errors.js';
import type { Exchange, ReplyHandler, ReplyHead } from '../inference/forward.js';
import { type LoggedPrediction, logged } from './logged.js';
import type { KeptRecord, PayloadLog } from './payload-log.js';
import type { DropReason } from './record.js';
import { inSample } from './sampling.js';
import { payloadLogSchema } from './settings.js';

/** A log in memory, with so much room for bodies. */
function memoryLog(room = Number.POSITIVE_INFINITY) {
  const records: KeptRecord[] = [];
  const drops: DropReason[] = [];
  let kept = 0;
  const log: PayloadLog = {
    keep(_to, bytes) {
      if (kept + bytes.length > room) return undefined;
      kept += bytes.length;
      return Uint8Array.from(bytes);
    },
    add: (_to, record) => void records.push(record),
    drop(_to, pieces, reason) {
      for (const piece of pieces) kept -= piece.length;
      if (reason) drops.push(reason);
    },
  };
  return { log, records, drops, kept: () => kept };
}

const CALL_HEADERS = { 'content-type': 'application/json' };
const HEADERS: Record<string, string> = {
  'x-user': 'ada',
  authorization: 'Bearer secret',
};
const SINK = { kind: 'http', url: 'http://a/' };
const plain: ReplyHead = { status: 200, headers: { 'content-type': 'application/json' }, more: false, worked: true };
const streaming: ReplyHead = { ...plain, more: true };

function bench(settings: object, more: Partial<LoggedPrediction> = {}, room?: number) {
  const memory = memoryLog(room);
  const revision = revisionOf('add.onnx', {}, 2);
  const endpoint = {
    ...endpointOf(revision),
    targets: [{ revision, percent: 100, tag: 'candidate' }],
    payloadLog: payloadLogSchema.parse({ sink: SINK, ...settings }),
  };
  const heard: string[] = [];
  const handler: ReplyHandler = {
    onReply: (head, body) => void heard.push(`${head.status} ${body}`),
    onData: (chunk) => void heard.push(String(chunk)),
    onEnd: () => void heard.push('end'),
    onError: (error) => void heard.push(error.code),
  };
  const told: string[] = [];
  const inner: Exchange = {
    cancel: () => void told.push('cancel'),
    pause: () => void told.push('pause'),
    resume: () => void told.push('resume'),
  };
  let reply: ReplyHandler = handler;
  const prediction: LoggedPrediction = {
    id: 'r-1',
    endpoint,
    revision,
    source: { header: (name) => HEADERS[name] },
    call: { method: 'POST', path: '/', headers: CALL_HEADERS, body: Buffer.from('{"q":1}') },
    ...more,
  };
  const exchange = logged({ log: memory.log, nowMs: 1000 }, prediction, handler, (given) => {
    reply = given;
    return inner;
  });
  return { ...memory, exchange, heard, told, inner, handler, reply };
}

const texts = (records: readonly KeptRecord[]) =>
  records.map(({ kind, pieces }) => `${kind} ${Buffer.concat(pieces).toString()}`);

describe('a recorded prediction', () => {
  it('records request and answer with what is known of both, and no header that was not named', () => {
    const { records, reply, heard } = bench({ metadataHeaders: ['X-User', 'x-none'] });
    reply.onReply({ ...plain, status: 422 }, Buffer.from('{"a":1}'));
    expect(heard).toEqual(['422 {"a":1}']);
    expect(texts(records)).toEqual(['request {"q":1}', 'response {"a":1}']);
    const shared = {
      id: 'r-1',
      project: 'default',
      endpoint: 'model',
      revision: 2,
      modelVersion: 2,
      target: 'candidate',
      headers: { 'x-user': 'ada' },
      contentType: 'application/json',
    };
    expect(records[0]).toMatchObject({ ...shared, timeMs: 1000 });
    expect(records[0]).not.toHaveProperty('status');
    expect(records[1]).toMatchObject({ ...shared, status: 422, latencyMs: expect.any(Number) });
    expect(records[1]?.timeMs).toBe(1000 + (records[1]?.latencyMs ?? 0));
    expect(JSON.stringify(records)).not.toContain('secret');
  });

  it.each([
    ['request', ['request {"q":1}']],
    ['response', ['response ok']],
  ])('records the %s alone when asked to', (mode, expected) => {
    const { records, reply } = bench({ mode });
    reply.onReply(plain, Buffer.from('ok'));
    expect(texts(records)).toEqual(expected);
  });

  it('records an answer that comes in pieces when it is whole', () => {
    const { records, reply, heard } = bench({ mode: 'response' });
    reply.onReply(streaming, Buffer.from('a'));
    reply.onData(Buffer.from('b'));
    expect(records).toEqual([]);
    reply.onEnd();
    expect(texts(records)).toEqual(['response ab']);
    expect(heard).toEqual(['200 a', 'b', 'end']);
  });

  it('drops what is larger than it may be, and lets it pass', () => {
    const { records, drops, reply, heard, kept } = bench({ maxBodyBytes: 3 });
    reply.onReply(streaming, Buffer.from('abc'));
    reply.onData(Buffer.from('d'));
    reply.onData(Buffer.from('e'));
    reply.onEnd();
    expect(records).toEqual([]);
    expect(drops).toEqual(['too_large', 'too_large']);
    expect(kept()).toBe(0);
    expect(heard).toEqual(['200 abc', 'd', 'e', 'end']);
  });

  it('drops a request whose body is streamed', () => {
    const rest = { read: () => {}, pause: () => {}, resume: () => {} };
    const call = { method: 'POST', path: '/', headers: {}, body: Buffer.alloc(0), rest };
    const { records, drops, reply } = bench({}, { call });
    reply.onReply(plain, Buffer.from('ok'));
    expect(texts(records)).toEqual(['response ok']);
    expect(drops).toEqual(['too_large']);
  });

  it('drops what there is no room for', () => {
    const { records, drops, reply, kept } = bench({}, {}, 8);
    reply.onReply(streaming, Buffer.from('x'));
    reply.onData(Buffer.from('y'));
    reply.onEnd();
    expect(texts(records)).toEqual(['request {"q":1}']);
    expect(drops).toEqual(['buffer_full']);
    expect(kept()).toBe(7);
  });

  it('keeps nothing of an answer that breaks off, or that nobody waits for any more', () => {
    const broken = bench({ mode: 'response' });
    broken.reply.onReply(streaming, Buffer.from('a'));
    broken.reply.onError(new AppError('upstream_failed', 'gone'));
    const left = bench({ mode: 'response' });
    left.reply.onReply(streaming, Buffer.from('a'));
    left.exchange.cancel();
    for (const { records, drops, kept } of [broken, left])
      expect({ records, drops, kept: kept() }).toEqual({ records: [], drops: [], kept: 0 });
    expect(broken.heard).toEqual(['200 a', 'upstream_failed']);
    expect(left.told).toEqual(['cancel']);
  });

  it('passes on that its line is full', () => {
    const { exchange, told } = bench({});
    exchange.pause();
    exchange.resume();
    expect(told).toEqual(['pause', 'resume']);
  });

  it('is left alone when it is not in the sample', () => {
    const id = Array.from({ length: 1000 }, (_, at) => `r-${at}`).find((one) => !inSample(one, 0.5)) ?? '';
    const { records, reply, handler, exchange, inner } = bench({ rate: 0.5 }, { id });
    expect([reply, exchange]).toEqual([handler, inner]);
    reply.onReply(plain, Buffer.from('ok'));
    expect(records).toEqual([]);
  });
});
