/** Records as Parquet: a column for each attribute, the body as bytes. */
import { parquetReadObjects } from 'hyparquet';
import { ByteWriter, ParquetWriter, schemaFromColumnData } from 'hyparquet-writer';
import { eventType, headersOf, kindOfEvent, metadataText } from '../../core/payload-log/cloud-event.js';
import { type PayloadRecord, traceIdOf } from '../../core/payload-log/record.js';
import type { FileEncoder, FileFormat } from './format.js';

type ColumnType = 'STRING' | 'TIMESTAMP' | 'INT32' | 'DOUBLE' | 'BYTE_ARRAY';

interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** Whether every record has a value. */
  readonly required: boolean;
  value(record: PayloadRecord): string | number | Date | Uint8Array | undefined;
}

const COLUMNS: readonly Column[] = [
  { name: 'id', type: 'STRING', required: true, value: (record) => record.id },
  { name: 'time', type: 'TIMESTAMP', required: true, value: (record) => new Date(record.timeMs) },
  { name: 'type', type: 'STRING', required: true, value: (record) => eventType(record.kind) },
  { name: 'project', type: 'STRING', required: true, value: (record) => record.project },
  { name: 'endpoint', type: 'STRING', required: true, value: (record) => record.endpoint },
  { name: 'target', type: 'STRING', required: true, value: (record) => record.target },
  { name: 'revision', type: 'INT32', required: true, value: (record) => record.revision },
  { name: 'model_version', type: 'INT32', required: true, value: (record) => record.modelVersion },
  { name: 'status', type: 'INT32', required: false, value: (record) => record.status },
  { name: 'latency_ms', type: 'DOUBLE', required: false, value: (record) => record.latencyMs },
  { name: 'content_type', type: 'STRING', required: false, value: (record) => record.contentType },
  { name: 'json_bytes', type: 'INT32', required: false, value: (record) => record.jsonBytes },
  { name: 'metadata', type: 'STRING', required: true, value: (record) => metadataText(record.headers) },
  {
    name: 'trace_id',
    type: 'STRING',
    required: false,
    value: ({ traceParent }) => traceParent && traceIdOf(traceParent),
  },
  { name: 'trace_parent', type: 'STRING', required: false, value: (record) => record.traceParent },
  { name: 'data', type: 'BYTE_ARRAY', required: true, value: (record) => record.data },
];

const SCHEMA = schemaFromColumnData({
  columnData: COLUMNS.map(({ name, type, required }) => ({ name, type, nullable: !required, data: [] })),
});

/** Parquet, each append a row group, compressed by Snappy. */
export const parquet: FileFormat = { encoder: () => new ParquetEncoder(), decode };

class ParquetEncoder implements FileEncoder {
  private readonly bytes = new ByteWriter();
  private readonly writer = new ParquetWriter({ writer: this.bytes, schema: SCHEMA, createdBy: 'sluice' });

  append(records: readonly PayloadRecord[]): Uint8Array {
    if (records.length > 0) {
      const columnData = COLUMNS.map((column) => ({
        name: column.name,
        data: records.map((record) => column.value(record) ?? null),
        // bodies hardly repeat, and their least and greatest say nothing
        ...(column.name === 'data' ? { encoding: 'PLAIN' as const, statistics: false } : {}),
      }));
      this.writer.write({ columnData, rowGroupSize: records.length });
    }
    return this.take();
  }

  end(): Uint8Array {
    this.writer.finish();
    return this.take();
  }

  /** What was written since the last time, which the writer then forgets; its offset goes on counting. */
  private take(): Uint8Array {
    const taken = new Uint8Array(this.bytes.getBuffer());
    this.bytes.index = 0;
    return taken;
  }
}

async function decode(file: Buffer): Promise<PayloadRecord[]> {
  const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer;
  const rows = await parquetReadObjects({ file: buffer, utf8: false });
  return rows.map(recordOf);
}

function recordOf(row: Readonly<Record<string, unknown>>): PayloadRecord {
  const text = (name: string) => (typeof row[name] === 'string' ? row[name] : undefined);
  const number = (name: string) => (typeof row[name] === 'number' ? row[name] : undefined);
  const { time, data } = row;
  return {
    id: text('id') ?? '',
    kind: kindOfEvent(text('type') ?? ''),
    timeMs: time instanceof Date ? time.getTime() : 0,
    project: text('project') ?? '',
    endpoint: text('endpoint') ?? '',
    revision: number('revision') ?? 0,
    modelVersion: number('model_version') ?? 0,
    target: text('target') ?? '',
    status: number('status'),
    latencyMs: number('latency_ms'),
    contentType: text('content_type'),
    jsonBytes: number('json_bytes'),
    headers: headersOf(text('metadata')),
    traceParent: text('trace_parent'),
    data: data instanceof Uint8Array ? Buffer.from(data) : Buffer.alloc(0),
  };
}
