/** Records of the payload log, and what is told of them, for tests of what writes them. */
import type { DropReason, PayloadRecord } from '../../src/core/payload-log/record.js';
import type { SinkReport } from '../../src/platform/payload-log/sink.js';

export function payloadRecord(id: string, changes: Partial<PayloadRecord> = {}): PayloadRecord {
  return {
    id,
    kind: 'request',
    timeMs: Date.UTC(2030, 0, 2, 3, 4, 5, 678),
    project: 'default',
    endpoint: 'digits',
    revision: 3,
    modelVersion: 7,
    target: 'default',
    contentType: 'application/json',
    headers: {},
    data: Buffer.from(`{"id":"${id}"}`),
    ...changes,
  };
}

/** Adds up what a sink reports. */
export class Tally implements SinkReport {
  freedBytes = 0;
  count = 0;
  readonly drops: Partial<Record<DropReason, number>> = {};

  freed(bytes: number): void {
    this.freedBytes += bytes;
  }

  written(count: number): void {
    this.count += count;
  }

  dropped(count: number, reason: DropReason): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + count;
  }
}
