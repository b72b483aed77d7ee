/**
 * Records as CloudEvents 1.0 (cloudevents.io), with the types and attributes of KServe's inference logger, so that what
 * reads its events reads these. Our own extensions are revision, modelversion, status, latencyus and jsonbytes.
 */
import { isUtf8 } from 'node:buffer';
import { AppError } from '../../errors.js';
import { NO_TAG, type PayloadRecord } from './record.js';

const TYPES = {
  request: 'org.kubeflow.serving.inference.request',
  response: 'org.kubeflow.serving.inference.response',
} as const;

/** Context attributes by name: strings, and integers of 32 bits. `datacontenttype` is one of them. */
export type EventAttributes = Readonly<Record<string, string | number>>;

/** The type of a record's event. */
export function eventType(kind: PayloadRecord['kind']): string {
  return TYPES[kind];
}

/** What kind of record an event of this type is. */
export function kindOfEvent(type: string): PayloadRecord['kind'] {
  if (type === TYPES.request) return 'request';
  if (type === TYPES.response) return 'response';
  throw new AppError('invalid', `an event of type ${JSON.stringify(type.slice(0, 100))} is no request and no response`);
}

/**
 * A record's attributes. Source and id together must name one event, and a request and its answer have one id, so their
 * sources differ.
 */
export function attributesOf(record: PayloadRecord): EventAttributes {
  const { kind, project, endpoint, status, latencyMs, contentType, jsonBytes, traceParent } = record;
  return {
    specversion: '1.0',
    id: record.id,
    source: `/projects/${project}/endpoints/${endpoint}/${kind}s`,
    type: TYPES[kind],
    time: new Date(record.timeMs).toISOString(),
    ...(contentType === undefined ? {} : { datacontenttype: contentType }),
    inferenceservicename: endpoint,
    namespace: project,
    component: 'predictor',
    endpoint: record.target,
    metadata: metadataText(record.headers),
    revision: record.revision,
    modelversion: record.modelVersion,
    ...(status === undefined ? {} : { status }),
    ...(latencyMs === undefined ? {} : { latencyus: microseconds(latencyMs) }),
    ...(jsonBytes === undefined ? {} : { jsonbytes: jsonBytes }),
    ...(traceParent === undefined ? {} : { traceparent: traceParent }),
  };
}

/** The record that an event's attributes and data are. `invalid` for an event that is none of ours. */
export function recordOf(attributes: Readonly<Record<string, unknown>>, data: Uint8Array): PayloadRecord {
  const text = (name: string) => (typeof attributes[name] === 'string' ? attributes[name] : undefined);
  const number = (name: string) => (typeof attributes[name] === 'number' ? attributes[name] : undefined);
  const [id, type, time] = [text('id'), text('type'), text('time')];
  if (id === undefined || type === undefined || time === undefined) {
    throw new AppError('invalid', 'an event of the payload log has no id, type or time');
  }
  const latencyUs = number('latencyus');
  return {
    id,
    kind: kindOfEvent(type),
    timeMs: Date.parse(time),
    project: text('namespace') ?? '',
    endpoint: text('inferenceservicename') ?? '',
    revision: number('revision') ?? 0,
    modelVersion: number('modelversion') ?? 0,
    target: text('endpoint') ?? NO_TAG,
    status: number('status'),
    latencyMs: latencyUs === undefined ? undefined : latencyUs / 1000,
    contentType: text('datacontenttype'),
    jsonBytes: number('jsonbytes'),
    headers: headersOf(text('metadata')),
    traceParent: text('traceparent'),
    data,
  };
}

/** As in the HTTP binding's binary mode: what is outside printable ASCII, spaces, quotes and percent signs are escaped. */
export function eventHeaders(attributes: EventAttributes): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'datacontenttype') headers['content-type'] = String(value);
    else headers[`ce-${name}`] = percentEncoded(String(value));
  }
  return headers;
}

/** An event as JSON on one line. Data that are JSON stand in it as they came, digit for digit; all other data as base64. */
export function eventJson(record: PayloadRecord): string {
  const attributes = JSON.stringify(attributesOf(record)).slice(0, -1);
  const json = jsonLineOf(record);
  return json === undefined
    ? `${attributes},"data_base64":"${Buffer.from(record.data).toString('base64')}"}`
    : `${attributes}${DATA}${json}}`;
}

/** Reads what `eventJson` wrote. */
export function readEventJson(line: string): PayloadRecord {
  // the attributes before it are no objects, and in a string its quotes would be escaped
  const at = line.indexOf(DATA);
  if (at !== -1) {
    const attributes = JSON.parse(`${line.slice(0, at)}}`) as Record<string, unknown>;
    return recordOf(attributes, Buffer.from(line.slice(at + DATA.length, line.lastIndexOf('}'))));
  }
  const event = JSON.parse(line) as Record<string, unknown>;
  const base64 = typeof event.data_base64 === 'string' ? event.data_base64 : '';
  return recordOf(event, Buffer.from(base64, 'base64'));
}

const DATA = ',"data":';
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i;

/** The data as JSON without line breaks, which in JSON are white space between tokens; undefined when they are no JSON. */
function jsonLineOf({ contentType, jsonBytes, data }: PayloadRecord): string | undefined {
  if (contentType !== undefined && !JSON_TYPE.test(contentType)) return undefined;
  if (jsonBytes !== undefined && jsonBytes !== data.length) return undefined;
  if (!isUtf8(data)) return undefined;
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return text.replace(/[\r\n]+/g, ' ');
}

/** Headers as KServe writes them: each name with a list of values. */
export function metadataText(headers: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])));
}

/** Reads what `metadataText` wrote. */
export function headersOf(metadata: string | undefined): Readonly<Record<string, string>> {
  if (metadata === undefined) return {};
  const lists = JSON.parse(metadata) as Record<string, readonly string[]>;
  return Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values.join(', ')]));
}

function microseconds(ms: number): number {
  return Math.min(2 ** 31 - 1, Math.round(ms * 1000));
}

function percentEncoded(text: string): string {
  return text.replace(/[^\x21\x23\x24\x26-\x7e]+/gu, encodeURIComponent);
}
