/** What the gateway and the thread that writes its payload log say to each other. */
import type { KeptRecord } from '../../core/payload-log/payload-log.js';
import type { Destination, DropReason } from '../../core/payload-log/record.js';
import type { LogOptions } from '../../log.js';
import type { BlobsOptions } from '../blobs/open.js';

/** What the thread is started with. */
export interface ThreadOptions {
  readonly blobsUrl: string;
  readonly blobs: BlobsOptions;
  readonly log: Omit<LogOptions, 'write'>;
}

/** Records of one destination. The memory of their pieces is handed over. */
export interface RecordGroup {
  readonly to: Destination;
  readonly records: readonly KeptRecord[];
}

export type ToThread =
  | { readonly kind: 'records'; readonly groups: readonly RecordGroup[] }
  /** To write what there is, and be done within this time. */
  | { readonly kind: 'stop'; readonly deadlineMs: number };

/** What became of an endpoint's records since the last message. */
export interface Settled {
  readonly project: string;
  readonly endpoint: string;
  /** Memory that is free again, as `recordBytes` counts it. */
  readonly freedBytes: number;
  readonly written: number;
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
}

export type FromThread =
  | { readonly kind: 'settled'; readonly settled: readonly Settled[] }
  | { readonly kind: 'stopped' };
