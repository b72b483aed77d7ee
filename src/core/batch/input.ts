import { open } from 'node:fs/promises';
import type { RandomAccess } from '../tables/format.js';

/** A file on this machine, opened for reading from anywhere; it stays readable when it is removed meanwhile. */
export async function openInput(path: string): Promise<RandomAccess & { close(): Promise<void> }> {
  const file = await open(path, 'r');
  const { size } = await file.stat();
  return {
    bytes: size,
    async read(start, stop) {
      // memory of its own, so that whoever keeps a piece of it keeps nothing else
      const buffer = Buffer.allocUnsafeSlow(Math.max(0, Math.min(stop, size) - start));
      let filled = 0;
      while (filled < buffer.length) {
        const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, start + filled);
        if (bytesRead === 0) return buffer.subarray(0, filled);
        filled += bytesRead;
      }
      return buffer;
    },
    close: () => file.close(),
  };
}
