import type { FrameWriter } from './frame-writer.js';
import { CHUNK_BYTES, FRAME_BODY, FRAME_WINDOW, type FrameHead, WINDOW_BYTES } from './frames.js';

/** Writes a message: one frame where its body fits, else the first of several. What is left is the sender's that comes back. */
export function sendMessage(
  writer: FrameWriter,
  head: FrameHead,
  body: Buffer,
  complete = true,
): BodySender | undefined {
  if (complete && body.length <= CHUNK_BYTES) {
    writer.write(head, body);
    return undefined;
  }
  const first = body.subarray(0, CHUNK_BYTES);
  writer.write({ ...head, more: true }, first);
  const sender = new BodySender(writer, head.id, WINDOW_BYTES - first.length);
  if (first.length < body.length) sender.push(body.subarray(first.length), complete);
  return sender;
}

/** Sends the rest of a body, never more ahead of its reader than the window. */
export class BodySender {
  private waiting: Buffer[] = [];
  private ended = false;
  /** Told when all that was pushed has been sent, so that more may come. */
  onDrain: () => void = () => {};

  constructor(
    private readonly writer: FrameWriter,
    private readonly id: number,
    private window: number,
  ) {}

  /** Whether something still waits for the reader: whoever pushes should pause. */
  get full(): boolean {
    return this.waiting.length > 0;
  }

  /** Whether everything has been sent. */
  get done(): boolean {
    return this.ended && this.waiting.length === 0;
  }

  /** `last`: nothing more is pushed. */
  push(chunk: Buffer, last = false): void {
    this.ended = last;
    for (let at = 0; at < chunk.length; at += CHUNK_BYTES) this.waiting.push(chunk.subarray(at, at + CHUNK_BYTES));
    this.send();
  }

  /** Nothing more is pushed. */
  end(): void {
    this.ended = true;
    // the last piece says so; where it has left already, an empty one does
    if (this.waiting.length === 0) this.writer.write({ id: this.id, type: FRAME_BODY });
  }

  /** The reader took so many bytes. */
  credit(bytes: number): void {
    this.window += bytes;
    const full = this.full;
    this.send();
    if (full && !this.full) this.onDrain();
  }

  private send(): void {
    while (this.waiting.length > 0 && this.window > 0) {
      const next = this.waiting[0] as Buffer;
      const piece = next.subarray(0, this.window);
      if (piece.length === next.length) this.waiting.shift();
      else this.waiting[0] = next.subarray(piece.length);
      this.window -= piece.length;
      this.writer.write({ id: this.id, type: FRAME_BODY, more: !this.done }, piece);
    }
  }
}

/** A reader's account of what it took of one body; tells the sender in good time. */
export class BodyCredit {
  private taken = 0;

  constructor(
    private readonly writer: FrameWriter,
    private readonly id: number,
  ) {}

  took(bytes: number): void {
    this.taken += bytes;
    if (this.taken < WINDOW_BYTES / 2) return;
    const body = Buffer.allocUnsafe(4);
    body.writeUInt32LE(this.taken);
    this.taken = 0;
    this.writer.write({ id: this.id, type: FRAME_WINDOW }, body);
  }
}

/** The bytes that a window frame tells of. */
export function creditOf(body: Buffer): number {
  return body.length === 4 ? body.readUInt32LE(0) : 0;
}
