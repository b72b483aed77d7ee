/** Bytes of one line that are kept; what is longer is cut. */
export const MAX_LINE_BYTES = 64 * 1024;
const CUT_NOTE = ' … [line cut at 64 KiB]';
const NEWLINE = 10;
const RETURN = 13;

/**
 * Cuts a stream of bytes into lines of text. Lines end with \n, \r\n or \r (progress bars write \r; the empty piece that
 * a lone \r would make is left out). Invalid UTF-8 and NUL become U+FFFD. Holds at most one line of `MAX_LINE_BYTES`.
 */
export class LineSplitter {
  private parts: Buffer[] = [];
  private held = 0;
  private cut = false;
  /** Whether the last byte was the \r of a line that has been given out: a \n after it belongs to it. */
  private completed = false;

  /** The lines that this chunk completes. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let at = 0;
    // looked for once each and again only when passed: a chunk is read twice, however many lines it has
    let newline = chunk.indexOf(NEWLINE);
    let carriage = chunk.indexOf(RETURN);
    while (newline !== -1 || carriage !== -1) {
      const end = newline === -1 ? carriage : carriage === -1 ? newline : Math.min(newline, carriage);
      const isReturn = end === carriage;
      this.hold(chunk.subarray(at, end));
      if (isReturn) {
        // an empty piece waits: it is a line of its own only if \n follows at once
        if (this.held > 0) {
          lines.push(this.take());
          this.completed = true;
        } else this.completed = false;
      } else {
        if (this.held > 0 || !this.completed) lines.push(this.take());
        this.completed = false;
      }
      at = end + 1;
      if (isReturn) carriage = chunk.indexOf(RETURN, at);
      else newline = chunk.indexOf(NEWLINE, at);
    }
    this.hold(chunk.subarray(at));
    return lines;
  }

  /** What is left at the end of the stream: a last line without an end, or nothing. */
  flush(): string[] {
    return this.held === 0 ? [] : [this.take()];
  }

  private hold(bytes: Buffer): void {
    if (bytes.length > 0) this.completed = false;
    const room = MAX_LINE_BYTES - this.held;
    if (bytes.length > room) this.cut = true;
    const kept = bytes.subarray(0, room);
    if (kept.length === 0) return;
    // a copy, so that a short rest does not keep the whole chunk in memory
    this.parts.push(Buffer.from(kept));
    this.held += kept.length;
    if (this.parts.length > 256) this.parts = [Buffer.concat(this.parts)];
  }

  private take(): string {
    let bytes = this.parts.length === 1 && this.parts[0] ? this.parts[0] : Buffer.concat(this.parts);
    if (this.cut) bytes = bytes.subarray(0, wholeCharacters(bytes));
    const text = bytes.toString('utf8').replaceAll('\0', '\uFFFD') + (this.cut ? CUT_NOTE : '');
    this.parts = [];
    this.held = 0;
    this.cut = false;
    return text;
  }
}

/** The length without a last character that the cut went through. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(4, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0b1100_0000) === 0b1000_0000) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
