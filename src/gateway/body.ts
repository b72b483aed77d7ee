import type { IncomingMessage } from 'node:http';
import { AppError } from '../errors.js';

/** Reads a request's body whole, refusing as early as can be what is over the bound, and what comes too slowly. */
export function readBody(request: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) throw tooLarge(declared, maxBytes);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const late = () => reject(new AppError('timeout', `the body did not come within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        request.pause();
        reject(tooLarge(bytes, maxBytes));
      } else chunks.push(chunk);
    });
    request.on('end', () => {
      clearTimeout(timer);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes));
    });
    request.on('error', () => reject(new AppError('cancelled', 'the client went away')));
    request.on('close', () => {
      clearTimeout(timer);
      if (!request.complete) reject(new AppError('cancelled', 'the client went away'));
    });
  });
}

function tooLarge(bytes: number, maxBytes: number): AppError {
  return new AppError('too_large', `the body has ${bytes} bytes or more; at most ${maxBytes} are taken`, {
    details: { bytes, maxBytes },
  });
}
