import type { PayloadRecord } from '../../core/payload-log/record.js';

/** Records as bytes of a file that is written from its beginning to its end. */
export interface FileEncoder {
  /** The bytes of these records. */
  append(records: readonly PayloadRecord[]): Uint8Array;
  /** The end of the file. */
  end(): Uint8Array;
}

/** A kind of file that records are kept in. Its name is the extension of its files. */
export interface FileFormat {
  encoder(): FileEncoder;
  /** All records of a whole file, in the order they were written. */
  decode(file: Buffer): Promise<PayloadRecord[]>;
}
