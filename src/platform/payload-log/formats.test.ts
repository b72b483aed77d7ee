import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { describe, expect, it } from 'vitest';
import type { PayloadRecord } from '../../core/payload-log/record.js';
import type { FileFormat } from './format.js';
import { jsonLines } from './json-lines.js';
import { parquet } from './parquet.js';

const base: PayloadRecord = {
  id: 'a-1',
  kind: 'request',
  timeMs: Date.UTC(2030, 0, 2, 3, 4, 5, 678),
  project: 'default',
  endpoint: 'digits',
  revision: 3,
  modelVersion: 7,
  target: 'candidate',
  status: undefined,
  latencyMs: undefined,
  contentType: 'application/json',
  jsonBytes: undefined,
  headers: { 'x-user': 'Ada "of" Löve,lace' },
  traceParent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  data: Buffer.from('{"inputs":[{"name":"x","data":[9007199254740993]}]}'),
};
const answer: PayloadRecord = {
  ...base,
  kind: 'response',
  status: 200,
  latencyMs: 1.25,
  contentType: 'application/octet-stream',
  jsonBytes: 2,
  headers: {},
  traceParent: undefined,
  data: Buffer.from([0x7b, 0x7d, 0, 255, 10, 13]),
};
const RECORDS: readonly PayloadRecord[] = [
  base,
  answer,
  { ...base, id: 'bare', contentType: undefined, traceParent: undefined, data: Buffer.alloc(0) },
  { ...base, id: 'a,"data":b', headers: { 'x-odd': '","data":{"}' }, data: Buffer.from('[",\\"data\\":"]') },
  { ...base, id: 'not-json', data: Buffer.from('{"inputs":') },
  { ...base, id: 'not-utf8', data: Buffer.from([0x22, 0xff, 0x22]) },
  { ...base, id: 'large', data: Buffer.alloc(300_000, 65), contentType: 'text/plain' },
];

function fileOf(format: FileFormat, ...groups: (readonly PayloadRecord[])[]): Buffer {
  const encoder = format.encoder();
  return Buffer.concat([...groups.map((group) => Buffer.from(encoder.append(group))), encoder.end()]);
}

const plain = (records: readonly PayloadRecord[]) =>
  records.map(({ data, ...rest }) => ({ ...rest, data: Buffer.from(data).toString('hex') }));

describe.each([
  ['JSON lines', jsonLines],
  ['Parquet', parquet],
] as const)('records in %s', (_name, format) => {
  it('come back as they were', async () => {
    const file = fileOf(format, RECORDS.slice(0, 3), [], RECORDS.slice(3));
    expect(plain(await format.decode(file))).toEqual(plain(RECORDS));
  });

  it('may be none', async () => {
    expect(await format.decode(fileOf(format))).toEqual([]);
  });
});

describe('JSON lines', () => {
  it('are CloudEvents that any JSON reader takes, bodies without line breaks', () => {
    const pretty = { ...base, data: Buffer.from('{\n  "a": 1,\r\n  "b": "x\\ny"\n}\n') };
    const lines = fileOf(jsonLines, [pretty, answer]).toString().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        specversion: '1.0',
        id: 'a-1',
        source: '/projects/default/endpoints/digits/requests',
        type: 'org.kubeflow.serving.inference.request',
        time: '2030-01-02T03:04:05.678Z',
        datacontenttype: 'application/json',
        inferenceservicename: 'digits',
        namespace: 'default',
        component: 'predictor',
        endpoint: 'candidate',
        metadata: '{"x-user":["Ada \\"of\\" Löve,lace"]}',
        revision: 3,
        modelversion: 7,
        traceparent: base.traceParent,
        data: { a: 1, b: 'x\ny' },
      },
      expect.objectContaining({
        type: 'org.kubeflow.serving.inference.response',
        source: '/projects/default/endpoints/digits/responses',
        status: 200,
        latencyus: 1250,
        jsonbytes: 2,
        data_base64: Buffer.from(answer.data).toString('base64'),
      }),
    ]);
  });

  it('keep every digit of a body', () => {
    expect(fileOf(jsonLines, [base]).toString()).toContain('9007199254740993');
  });
});

describe('Parquet', () => {
  it('has a column for each attribute, a row group for each append, and bodies as bytes', async () => {
    const file = fileOf(parquet, [base], [answer]);
    const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer;
    const metadata = parquetMetadata(buffer);
    expect(metadata.row_groups).toHaveLength(2);
    expect(metadata.schema.slice(1).map(({ name, repetition_type }) => [name, repetition_type])).toEqual([
      ['id', 'REQUIRED'],
      ['time', 'REQUIRED'],
      ['type', 'REQUIRED'],
      ['project', 'REQUIRED'],
      ['endpoint', 'REQUIRED'],
      ['target', 'REQUIRED'],
      ['revision', 'REQUIRED'],
      ['model_version', 'REQUIRED'],
      ['status', 'OPTIONAL'],
      ['latency_ms', 'OPTIONAL'],
      ['content_type', 'OPTIONAL'],
      ['json_bytes', 'OPTIONAL'],
      ['metadata', 'REQUIRED'],
      ['trace_id', 'OPTIONAL'],
      ['trace_parent', 'OPTIONAL'],
      ['data', 'REQUIRED'],
    ]);
    const [first] = await parquetReadObjects({ file: buffer, columns: ['time', 'trace_id', 'status'] });
    expect(first).toEqual({
      time: new Date(base.timeMs),
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      status: null,
    });
  });
});
