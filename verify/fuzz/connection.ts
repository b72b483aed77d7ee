/** A connection for one input: what is written, in pieces, and all that comes back until the server ends it. */
import { connect, type NetConnectOpts } from 'node:net';

export interface Conversation {
  readonly to: NetConnectOpts;
  /** Written one after the other, each after a turn of the event loop. */
  readonly pieces: readonly Buffer[];
  /** Whether this side may end once the bytes that came are enough. Without it: once it has written all. */
  enough?(received: Buffer): boolean;
}

/** How long an input that may be an unfinished one is left unanswered before this side ends. */
const PATIENCE_MS = 40;

/** All that came. The server must end the connection after this side has: whoever calls sets the limit of time. */
export function converse({ to, pieces, enough }: Conversation): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(to);
    socket.setNoDelay(true);
    const chunks: Buffer[] = [];
    const end = () => {
      clearTimeout(timer);
      socket.end();
    };
    let timer: NodeJS.Timeout | undefined;
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (enough?.(Buffer.concat(chunks))) end();
    });
    // a reset is an end, too
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    });
    const write = (at: number): void => {
      const piece = pieces[at];
      if (socket.destroyed) return;
      if (piece) {
        socket.write(piece);
        setImmediate(write, at + 1);
      } else if (enough) timer = setTimeout(end, PATIENCE_MS);
      else end();
    };
    socket.on('connect', () => write(0));
  });
}

/** The same bytes, cut at the given places. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places].sort((a, b) => a - b);
  return [0, ...ends].map((start, at) => bytes.subarray(start, ends[at] ?? bytes.length));
}
