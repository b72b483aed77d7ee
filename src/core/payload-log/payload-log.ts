import type { Destination, DropReason, PayloadRecord } from './record.js';

/** A record whose data are copies that the log made, in pieces as they came. */
export type KeptRecord = Omit<PayloadRecord, 'data'> & { readonly pieces: readonly Uint8Array[] };

/**
 * Takes records of predictions and writes them somewhere, later. Nothing here waits, throws, or takes more memory than
 * was set aside: what there is no room for is dropped and counted.
 */
export interface PayloadLog {
  /** A copy of bytes for a record; undefined when there is no room for it. Ends with `add` or `drop`. */
  keep(to: Destination, bytes: Uint8Array): Uint8Array | undefined;
  /** Hands over a record; its pieces are the log's from now on. */
  add(to: Destination, record: KeptRecord): void;
  /** Gives up what was kept of a record, and counts why; without a reason nothing is counted. */
  drop(to: Destination, pieces: readonly Uint8Array[], reason?: DropReason): void;
}

/** Records nothing: where no endpoint has a log. */
export const NO_PAYLOAD_LOG: PayloadLog = { keep: () => undefined, add: () => {}, drop: () => {} };
