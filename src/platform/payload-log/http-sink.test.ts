import { describe, expect, it } from 'vitest';
import { eventually } from '../../../tests/support/children.js';
import { type EventServer, eventServer } from '../../../tests/support/event-server.js';
import { payloadRecord, Tally } from '../../../tests/support/payload-records.js';
import { ManualClock, systemClock } from '../../clock.js';
import { recordBytes } from '../../core/payload-log/budget.js';
import type { HttpSinkSettings } from '../../core/payload-log/settings.js';
import { createLog } from '../../log.js';
import { freePort } from '../free-port.js';
import { HttpSink } from './http-sink.js';
import { Outage } from './outage.js';

function sinkTo(url: string, more: Partial<HttpSinkSettings> = {}, clock = systemClock) {
  const tally = new Tally();
  const logged: string[] = [];
  const log = createLog({ level: 'info', format: 'json', write: (line) => logged.push(line) });
  const outage = new Outage(log, 'digits');
  const sink = new HttpSink({ settings: { kind: 'http', url, ...more }, report: tally, outage, clock });
  return { sink, tally, logged };
}

const never = () => AbortSignal.timeout(60_000);
const refusing = (status: number) => (server: EventServer) => {
  server.answer = (response) => void response.writeHead(status).end();
};

describe('a sink by HTTP', () => {
  it('sends each record as a CloudEvent in binary mode, bodies as they are', async () => {
    const server = await eventServer();
    const { sink, tally } = sinkTo(`${server.url}/events?a=1`);
    const binary = Buffer.from([0, 255, 13, 10]);
    sink.add([
      payloadRecord('one', { headers: { 'x-user': 'Ada 100% "Löve"' }, traceParent: '00-aa-bb-01' }),
      payloadRecord('two', {
        kind: 'response',
        status: 422,
        latencyMs: 0.5,
        contentType: 'application/octet-stream',
        jsonBytes: 0,
        data: binary,
      }),
    ]);
    await sink.close(never());
    const [one, two] = ['one', 'two'].map((id) => server.taken.find(({ headers }) => headers['ce-id'] === id));
    expect(one?.path).toBe('/events?a=1');
    expect(one?.headers).toMatchObject({
      'ce-specversion': '1.0',
      'ce-id': 'one',
      'ce-source': '/projects/default/endpoints/digits/requests',
      'ce-type': 'org.kubeflow.serving.inference.request',
      'ce-time': '2030-01-02T03:04:05.678Z',
      'ce-inferenceservicename': 'digits',
      'ce-namespace': 'default',
      'ce-component': 'predictor',
      'ce-endpoint': 'default',
      'ce-metadata': '{%22x-user%22:[%22Ada%20100%25%20\\%22L%C3%B6ve\\%22%22]}',
      'ce-revision': '3',
      'ce-modelversion': '7',
      'ce-traceparent': '00-aa-bb-01',
      'content-type': 'application/json',
    });
    expect(one?.headers).not.toHaveProperty('ce-datacontenttype');
    expect(one?.body.toString()).toBe('{"id":"one"}');
    expect(two?.headers).toMatchObject({
      'ce-type': 'org.kubeflow.serving.inference.response',
      'ce-status': '422',
      'ce-latencyus': '500',
      'ce-jsonbytes': '0',
      'content-type': 'application/octet-stream',
    });
    expect(two?.body).toEqual(binary);
    expect(tally).toMatchObject({ count: 2, drops: {}, freedBytes: recordBytes(12) + recordBytes(4) });
  });

  it('sends several in batched mode, as many as may be', async () => {
    const server = await eventServer();
    const { sink, tally } = sinkTo(server.url, { batch: { maxEvents: 3, maxDelayMs: 60_000 } });
    sink.add(['a', 'b', 'c', 'd'].map((id) => payloadRecord(id)));
    await eventually(() => tally.count === 3);
    await sink.close(never());
    expect(tally.count).toBe(4);
    expect(server.taken.map(({ headers }) => headers['content-type'])).toEqual([
      'application/cloudevents-batch+json; charset=utf-8',
      'application/cloudevents-batch+json; charset=utf-8',
    ]);
    const batches = server.taken.map(({ body }) => JSON.parse(body.toString()) as { id: string; data: unknown }[]);
    expect(batches.map((batch) => batch.map(({ id }) => id))).toEqual([['a', 'b', 'c'], ['d']]);
    expect(batches[0]?.[0]?.data).toEqual({ id: 'a' });
  });

  it('sends a batch that is not full when its first event has waited', async () => {
    const server = await eventServer();
    const { sink, tally } = sinkTo(server.url, { batch: { maxEvents: 100, maxDelayMs: 1 } });
    sink.add([payloadRecord('a')]);
    await eventually(() => tally.count === 1);
    expect(sink.idle).toBe(true);
    await sink.close(never());
  });

  it('tries again what is refused for now, and tells of it once', async () => {
    const server = await eventServer();
    let answers = 0;
    server.answer = (response) => void response.writeHead([503, 429, 500][answers++] ?? 200).end();
    const clock = new ManualClock();
    const { sink, tally, logged } = sinkTo(server.url, {}, clock);
    sink.add([payloadRecord('a')]);
    await eventually(async () => {
      await clock.advance(1000);
      return tally.count === 1;
    });
    expect(server.taken).toHaveLength(4);
    expect(logged.map((line) => JSON.parse(line))).toMatchObject(
      [
        { level: 'warn', message: 'the payload log cannot be written', endpoint: 'digits', error: /answered 503/ },
        { level: 'info', message: 'the payload log is written again' },
      ].map((line) => (line.error ? { ...line, error: expect.stringMatching(line.error) } : line)),
    );
    await sink.close(never());
  });

  it('does not try again what is refused for good', async () => {
    const server = await eventServer();
    refusing(400)(server);
    const { sink, tally } = sinkTo(server.url);
    sink.add([payloadRecord('a'), payloadRecord('b')]);
    await eventually(() => sink.idle);
    expect(tally).toMatchObject({ count: 0, drops: { sink_failed: 2 }, freedBytes: 2 * recordBytes(10) });
    expect(server.taken).toHaveLength(2);
    await sink.close(never());
  });

  it('gives up on a sink that stays down, and goes on when it is there', async () => {
    const port = await freePort();
    const clock = new ManualClock();
    const { sink, tally } = sinkTo(`http://127.0.0.1:${port}`, {}, clock);
    sink.add([payloadRecord('a')]);
    await eventually(async () => {
      await clock.advance(20_000);
      return sink.idle;
    });
    expect(tally.drops).toEqual({ sink_failed: 1 });
    const server = await eventServer(port);
    sink.add([payloadRecord('b')]);
    await eventually(async () => {
      await clock.advance(20_000);
      return tally.count === 1;
    });
    expect(server.taken.map(({ headers }) => headers['ce-id'])).toEqual(['b']);
    await sink.close(never());
  });

  it('stops with its answer outstanding, and counts what was not taken', async () => {
    const server = await eventServer();
    server.answer = () => {};
    const { sink, tally } = sinkTo(server.url);
    sink.add(Array.from({ length: 10 }, (_, at) => payloadRecord(`r${at}`)));
    await eventually(() => server.taken.length === 4);
    await sink.close(AbortSignal.abort());
    expect(tally).toMatchObject({ count: 0, drops: { stopped: 10 } });
    expect(tally.freedBytes).toBe(10 * recordBytes(11));
  });
});
