/** Memory that an entry takes beside its key and its value: its object, its place in the map, its buffer. As measured. */
const ENTRY_BYTES = 640;

interface Entry {
  readonly value: Buffer;
  readonly expiresMs: number;
  readonly bytes: number;
}

/**
 * Values by key, at most so many bytes of them, bookkeeping counted: what was used longest ago goes first. Time is the
 * caller's, in milliseconds.
 */
export class ByteLru {
  /** From the one used longest ago to the one used last. */
  private readonly entries = new Map<string, Entry>();
  private taken = 0;

  constructor(private maxBytes: number) {}

  get bytes(): number {
    return this.taken;
  }

  get size(): number {
    return this.entries.size;
  }

  get(key: string, nowMs: number): Buffer | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    if (entry.expiresMs <= nowMs) {
      this.taken -= entry.bytes;
      return undefined;
    }
    this.entries.set(key, entry);
    return entry.value;
  }

  /** Keeps a copy. What does not fit at all is not kept. */
  set(key: string, value: Uint8Array, expiresMs: number): void {
    this.delete(key);
    const bytes = ENTRY_BYTES + key.length + value.length;
    if (bytes > this.maxBytes) return;
    // memory of its own: a view would keep the whole chunk it is part of
    const copy = Buffer.allocUnsafeSlow(value.length);
    copy.set(value);
    this.entries.set(key, { value: copy, expiresMs, bytes });
    this.taken += bytes;
    this.shrink();
  }

  /** Forgets every key for which it holds. */
  deleteWhere(holds: (key: string) => boolean): void {
    for (const key of [...this.entries.keys()]) if (holds(key)) this.delete(key);
  }

  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.shrink();
  }

  private delete(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.taken -= entry.bytes;
  }

  private shrink(): void {
    for (const key of this.entries.keys()) {
      if (this.taken <= this.maxBytes) return;
      this.delete(key);
    }
  }
}
