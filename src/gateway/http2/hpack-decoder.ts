/** Reading header blocks: HPACK (RFC 7541) with the dynamic table of one connection. */
import { CODE, Http2Error } from './codes.js';
import { type HeaderField, headerField, STATIC_TABLE } from './header-field.js';
import { huffmanText } from './huffman.js';

/** The table's size that holds as long as we announce no other. */
const MAX_TABLE_BYTES = 4096;
/** No number in a header block needs more: lengths and indices are far below. */
const MAX_NUMBER = 2 ** 28;

/** What a block held, in its order; `complete` is false when fields beyond the bound on the list were left out. */
export interface HeaderList {
  readonly fields: readonly HeaderField[];
  readonly complete: boolean;
}

export class HpackDecoder {
  /** Oldest first. */
  private readonly table: HeaderField[] = [];
  private tableBytes = 0;
  private capacity = MAX_TABLE_BYTES;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private end = 0;

  constructor(private readonly maxListBytes: number) {}

  /**
   * Reads one whole block. Of a list that is larger than the bound the rest is read for the table's sake only. Throws
   * COMPRESSION_ERROR, after which the table is not what the peer thinks: the connection must end.
   */
  decode(bytes: Buffer, start: number, end: number): HeaderList {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let sizeMayChange = true;
    while (this.at < end) {
      const first = bytes[this.at] as number;
      let field: HeaderField;
      if (first >= 0x80) {
        field = this.indexed(this.number(0x7f));
      } else if (first >= 0x40) {
        field = this.literal(0x3f);
        this.insert(field);
      } else if (first >= 0x20) {
        if (!sizeMayChange) throw malformed('a change of the table size within a block');
        this.resize(this.number(0x1f));
        continue;
      } else {
        field = this.literal(0x0f);
      }
      sizeMayChange = false;
      listBytes += field.size;
      if (listBytes <= this.maxListBytes) fields.push(field);
    }
    return { fields, complete: listBytes <= this.maxListBytes };
  }

  private indexed(index: number): HeaderField {
    const field =
      index <= STATIC_TABLE.length
        ? STATIC_TABLE[index - 1]
        : this.table[this.table.length - (index - STATIC_TABLE.length)];
    if (!field) throw malformed(`index ${index}, which is in no table`);
    return field;
  }

  private literal(mask: number): HeaderField {
    const index = this.number(mask);
    const name = index === 0 ? this.string() : this.indexed(index).name;
    return headerField(name, this.string());
  }

  /** An integer whose first byte holds it under `mask`, or all ones and more bytes (section 5.1). */
  private number(mask: number): number {
    let value = (this.bytes[this.at++] as number) & mask;
    if (value < mask) return value;
    for (let scale = 1; value < MAX_NUMBER; scale *= 128) {
      if (this.at >= this.end) throw malformed('a number that is cut short');
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > MAX_NUMBER) break;
    }
    throw malformed(`a number of ${MAX_NUMBER} or more`);
  }

  private string(): string {
    if (this.at >= this.end) throw malformed('a string that is missing');
    const huffman = (this.bytes[this.at] as number) >= 0x80;
    const length = this.number(0x7f);
    const start = this.at;
    if (length > this.end - start) throw malformed('a string that is cut short');
    this.at = start + length;
    return huffman ? huffmanText(this.bytes, start, this.at) : this.bytes.toString('latin1', start, this.at);
  }

  private insert(field: HeaderField): void {
    this.evict(this.capacity - field.size);
    // one that is larger than the table empties it and is not kept
    if (field.size > this.capacity) return;
    this.table.push(field);
    this.tableBytes += field.size;
  }

  private resize(capacity: number): void {
    if (capacity > MAX_TABLE_BYTES)
      throw malformed(`a table of ${capacity} bytes, at most ${MAX_TABLE_BYTES} are allowed`);
    this.capacity = capacity;
    this.evict(capacity);
  }

  /** Drops the oldest until at most this many bytes are left. */
  private evict(bytes: number): void {
    let drop = 0;
    while (this.tableBytes > bytes && drop < this.table.length) {
      this.tableBytes -= (this.table[drop] as HeaderField).size;
      drop++;
    }
    if (drop > 0) this.table.splice(0, drop);
  }
}

function malformed(problem: string): Http2Error {
  return new Http2Error(CODE.COMPRESSION_ERROR, `a header block holds ${problem}`);
}
