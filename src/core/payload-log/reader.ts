import type { LogPlace, Span } from './files.js';
import type { PayloadRecord } from './record.js';

export interface PayloadQuery extends LogPlace, Span {
  /** Only these. */
  readonly kind?: PayloadRecord['kind'];
}

/** Reads what endpoints logged into the blob store. */
export interface PayloadReader {
  /**
   * The records of an endpoint in a span of time, file by file in the order of the files' first records. One file is in
   * memory at a time. Records appear with the close of their file: up to the log's interval after their time.
   */
  records(query: PayloadQuery): AsyncIterable<PayloadRecord>;
}
