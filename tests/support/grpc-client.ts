/** gRPC calls by Node's own HTTP/2 client. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { afterAll } from 'vitest';

const sessions: ClientHttp2Session[] = [];
afterAll(() => {
  for (const session of sessions.splice(0)) session.destroy();
});

export function session(port: number): ClientHttp2Session {
  // answers that a test does not read yet are the client's to hold
  const made = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  made.on('error', () => {});
  sessions.push(made);
  return made;
}

export interface Answer {
  readonly head: IncomingHttpHeaders;
  readonly messages: readonly { readonly flag: number; readonly bytes: Buffer }[];
  /** From the trailers, or from the head of an answer without messages. */
  readonly status: string | undefined;
  readonly message: string | undefined;
  readonly trailers: IncomingHttpHeaders;
}

export function prefixed(bytes: Uint8Array, flag = 0): Buffer {
  const message = Buffer.alloc(5 + bytes.length);
  message[0] = flag;
  message.writeUInt32BE(bytes.length, 1);
  message.set(bytes, 5);
  return message;
}

export function open(to: ClientHttp2Session, path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
  return to.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
}

/** All that the server says on a stream. Rejects when it is reset. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let head: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (headers) => {
      trailers = headers;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('close', resolve);
  });
  const bytes = Buffer.concat(chunks);
  const messages = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    messages.push({ flag: bytes[at] as number, bytes: bytes.subarray(at + 5, end) });
    at = end;
  }
  const end = { ...head, ...trailers };
  const encoded = end['grpc-message'];
  return {
    head,
    messages,
    status: end['grpc-status'] as string | undefined,
    message: typeof encoded === 'string' ? decodeURIComponent(encoded) : undefined,
    trailers,
  };
}

/** A call of one message. */
export function call(
  to: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  headers?: Record<string, string>,
): Promise<Answer> {
  const stream = open(to, path, headers);
  if (body.length > 0) stream.end(body);
  else stream.end();
  return answerOf(stream);
}
