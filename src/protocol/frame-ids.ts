/** Ids of the frames that one side of a connection asks with: as u32, one after the other, none that is in use. */
export class FrameIds {
  private last = 0;

  /** The next one that nothing under way has. */
  next(taken: ReadonlyMap<number, unknown>): number {
    do this.last = (this.last + 1) >>> 0;
    while (taken.has(this.last));
    return this.last;
  }
}
