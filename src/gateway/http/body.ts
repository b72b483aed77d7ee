/** Bodies of requests: held whole where they are small, passed on piece by piece where they are not. */
import { Readable, type Transform } from 'node:stream';
import { createUnzip } from 'node:zlib';
import type { BodySink, BodyStream } from '../../core/inference/forward.js';
import { AppError, messageOf } from '../../errors.js';

/** The error for a body beyond the bound; `bytes` as far as known. */
export function tooLarge(bytes: number, maxBytes: number, what = 'body'): AppError {
  return new AppError('too_large', `the ${what} has ${bytes} bytes or more; at most ${maxBytes} are taken`, {
    details: { bytes, maxBytes },
  });
}

/** The same body, which fails once it is beyond the bound. */
export function limited(body: BodyStream, maxBytes: number): BodyStream {
  let bytes = 0;
  return {
    pause: () => body.pause(),
    resume: () => body.resume(),
    read(sink) {
      body.read({
        chunk(chunk) {
          const before = bytes;
          bytes += chunk.length;
          if (bytes <= maxBytes) sink.chunk(chunk);
          else if (before <= maxBytes) {
            body.pause();
            sink.failed(tooLarge(bytes, maxBytes));
          }
        },
        end: () => {
          if (bytes <= maxBytes) sink.end();
        },
        failed: (error) => {
          if (bytes <= maxBytes) sink.failed(error);
        },
      });
    },
  };
}

/** The same body, which fails with `timeout` when it is not whole in time. */
export function timed(body: BodyStream, timeoutMs: number): BodyStream {
  return {
    pause: () => body.pause(),
    resume: () => body.resume(),
    read(sink) {
      let over = false;
      const end = (how: () => void) => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        how();
      };
      const late = () => {
        body.pause();
        sink.failed(new AppError('timeout', `the body did not come within ${timeoutMs} ms`));
      };
      const timer = setTimeout(() => end(late), timeoutMs);
      body.read({
        chunk: (chunk) => {
          if (!over) sink.chunk(chunk);
        },
        end: () => end(() => sink.end()),
        failed: (error) => end(() => sink.failed(error)),
      });
    },
  };
}

/** The plain bytes of a body that comes as gzip or deflate. */
export function unpacked(body: BodyStream, coding: string): BodyStream {
  const unzip: Transform = createUnzip();
  return {
    pause: () => void unzip.pause(),
    resume: () => void unzip.resume(),
    read(sink) {
      unzip.on('data', (chunk: Buffer) => sink.chunk(chunk));
      unzip.on('end', () => sink.end());
      unzip.on('error', (error) =>
        sink.failed(
          new AppError('invalid', `the body is not ${coding}, as content-encoding says: ${messageOf(error)}`),
        ),
      );
      unzip.on('drain', () => body.resume());
      body.read({
        chunk: (chunk) => {
          if (!unzip.write(chunk)) body.pause();
        },
        end: () => void unzip.end(),
        failed: (error) => {
          unzip.destroy();
          sink.failed(error);
        },
      });
    },
  };
}

/** All of a body. */
export function collect(body: BodyStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const sink: BodySink = {
      chunk: (chunk) => void chunks.push(chunk),
      end: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
      failed: reject,
    };
    body.read(sink);
  });
}

/** The same body as a stream, which asks for no more than its reader takes. */
export function streamOf(body: BodyStream): Readable {
  let begun = false;
  const stream = new Readable({
    read() {
      if (begun) body.resume();
      else body.read(sink);
      begun = true;
    },
  });
  const sink: BodySink = {
    chunk: (chunk) => {
      if (!stream.push(chunk)) body.pause();
    },
    end: () => void stream.push(null),
    failed: (error) => void stream.destroy(error),
  };
  return stream;
}
