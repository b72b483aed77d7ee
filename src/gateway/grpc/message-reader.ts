/** Cuts the body of a call into messages: each has one byte that says whether it is compressed, u32BE length, bytes. */
import { AppError } from '../../errors.js';

export const PREFIX_BYTES = 5;

export interface Message {
  /** A view into what was received where it came in one piece, else a buffer of its own. */
  readonly bytes: Buffer;
  readonly compressed: boolean;
}

/** What unfinished messages of one connection may hold together. */
export interface Budget {
  left: number;
}

export interface MessageBounds {
  readonly maxMessageBytes: number;
  readonly budget: Budget;
}

/** A message's first buffer; it grows with what came, not with what the client announced. */
const FIRST_BYTES = 64 * 1024;
const GROWTH = 4;

export class MessageReader {
  private piece: Buffer | undefined;
  private at = 0;
  private readonly prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  private prefixFilled = 0;
  private length = 0;
  private compressed = false;
  private partial: Buffer | undefined;
  private filled = 0;
  private charged = 0;

  constructor(private readonly bounds: MessageBounds) {}

  /** Whether a message was begun that is not there as a whole yet. */
  get midway(): boolean {
    return this.prefixFilled > 0 || this.partial !== undefined;
  }

  /** Gives it the next bytes; the ones before must have been used up, `next` having said undefined. */
  feed(piece: Buffer): void {
    this.piece = piece;
    this.at = 0;
  }

  /** The next whole message; undefined when more bytes are needed. Refuses one beyond the bounds by its length. */
  next(): Message | undefined {
    const { piece } = this;
    if (!piece) return undefined;
    if (this.partial) return this.fill(this.partial, piece);
    if (this.prefixFilled === 0 && piece.length - this.at >= PREFIX_BYTES) {
      this.readPrefix(piece, this.at);
      this.at += PREFIX_BYTES;
    } else {
      const taken = piece.copy(this.prefix, this.prefixFilled, this.at, this.at + PREFIX_BYTES - this.prefixFilled);
      this.at += taken;
      this.prefixFilled += taken;
      if (this.prefixFilled < PREFIX_BYTES) return this.usedUp();
      this.readPrefix(this.prefix, 0);
    }
    if (piece.length - this.at >= this.length) {
      const start = this.at;
      this.at += this.length;
      return this.message(piece.subarray(start, this.at));
    }
    this.filled = 0;
    this.partial = Buffer.allocUnsafe(Math.min(this.length, FIRST_BYTES));
    return this.fill(this.partial, piece);
  }

  /** Gives back what it held; for a call that ends early. */
  drop(): void {
    this.bounds.budget.left += this.charged;
    this.charged = 0;
    this.partial = undefined;
    this.piece = undefined;
  }

  private readPrefix(bytes: Buffer, at: number): void {
    const flag = bytes[at] as number;
    this.length = bytes.readUInt32BE(at + 1);
    checkPrefix(flag, this.length, this.bounds.maxMessageBytes);
    this.compressed = flag === 1;
  }

  private fill(partial: Buffer, piece: Buffer): Message | undefined {
    const bytes = Math.min(this.length - this.filled, piece.length - this.at);
    const { budget } = this.bounds;
    if (bytes > budget.left) {
      throw new AppError('too_large', 'the unfinished messages of this connection hold all bytes that they may', {
        retryAfterSec: 1,
      });
    }
    budget.left -= bytes;
    this.charged += bytes;
    let into = partial;
    if (this.filled + bytes > into.length) {
      into = Buffer.allocUnsafe(Math.min(this.length, Math.max(into.length * GROWTH, this.filled + bytes)));
      partial.copy(into, 0, 0, this.filled);
      this.partial = into;
    }
    piece.copy(into, this.filled, this.at, this.at + bytes);
    this.filled += bytes;
    this.at += bytes;
    if (this.filled < this.length) return this.usedUp();
    budget.left += this.charged;
    this.charged = 0;
    this.partial = undefined;
    return this.message(into);
  }

  private message(bytes: Buffer): Message {
    this.prefixFilled = 0;
    return { bytes, compressed: this.compressed };
  }

  private usedUp(): undefined {
    this.piece = undefined;
    return undefined;
  }
}

/** Refuses a message that we would not take, as soon as its prefix is there. */
export function checkPrefix(flag: number, bytes: number, maxBytes: number): void {
  if (flag > 1) throw new AppError('invalid', `a message begins with the byte ${flag}, expected 0 or 1`);
  if (bytes <= maxBytes) return;
  throw new AppError('too_large', `the message has ${bytes} bytes, at most ${maxBytes} are allowed`, {
    details: { bytes, maxBytes },
  });
}

/** The five bytes before a message. */
export function messagePrefix(bytes: number, compressed: boolean): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix[0] = compressed ? 1 : 0;
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}
