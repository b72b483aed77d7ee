/** What a record takes beside its body: its attributes, and its way to the one who writes it. */
const RECORD_BYTES = 1024;

/** Memory that is set aside for a record with a body of so many bytes. */
export function recordBytes(bodyBytes: number): number {
  return RECORD_BYTES + bodyBytes;
}

/**
 * Memory that records may take between their prediction and their sink, shared by dynamic thresholds (Choudhury and Hahne):
 * an owner may have as much as is free. One alone gets half, n of them an equal part each with as much left over, so that
 * there is room for one more however many endpoints' sinks are away.
 */
export class Budget {
  private readonly byOwner = new Map<string, number>();
  private taken = 0;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.taken;
  }

  /** Whether there was room, which is taken then. */
  take(owner: string, bytes: number): boolean {
    const own = (this.byOwner.get(owner) ?? 0) + bytes;
    if (own > this.maxBytes - this.taken) return false;
    this.taken += bytes;
    this.byOwner.set(owner, own);
    return true;
  }

  give(owner: string, bytes: number): void {
    this.taken -= bytes;
    const left = (this.byOwner.get(owner) ?? 0) - bytes;
    if (left > 0) this.byOwner.set(owner, left);
    else this.byOwner.delete(owner);
  }
}
