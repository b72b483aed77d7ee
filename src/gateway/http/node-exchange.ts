import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BodySink, BodyStream } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';
import type { AnswerHead, ExchangeOwner, HttpExchange } from './exchange.js';

/** A request that Node's server read. */
export class NodeExchange implements HttpExchange {
  owner: ExchangeOwner | undefined;
  readonly body: Buffer | undefined;
  readonly bodyBytes: number | undefined;

  constructor(
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
  ) {
    const { headers } = request;
    const length = headers['content-length'];
    const chunked = headers['transfer-encoding'] !== undefined;
    this.bodyBytes = chunked ? undefined : Number(length ?? 0);
    this.body = this.bodyBytes === 0 ? Buffer.alloc(0) : undefined;
    response.on('close', () => {
      if (!response.writableFinished) this.owner?.gone();
    });
    response.on('drain', () => this.owner?.drained());
  }

  get method(): string {
    return this.request.method ?? '';
  }

  get url(): string {
    return this.request.url ?? '/';
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  readBody(): BodyStream {
    const { request } = this;
    return {
      read: (sink: BodySink) => {
        let over = false;
        const end = (how: () => void) => {
          if (over) return;
          over = true;
          how();
        };
        const gone = () => end(() => sink.failed(new AppError('cancelled', 'the client went away')));
        request.on('data', (chunk: Buffer) => {
          if (!over) sink.chunk(chunk);
        });
        request.on('end', () => end(() => sink.end()));
        request.on('error', gone);
        request.on('close', () => {
          if (!request.complete) gone();
        });
      },
      pause: () => void request.pause(),
      resume: () => void request.resume(),
    };
  }

  reply(answer: AnswerHead, body: Buffer): void {
    if (this.response.headersSent || this.response.destroyed) return;
    const head: Record<string, string | number> = { ...headersOf(answer), 'content-length': body.length };
    // what is left of the body is not read: the connection cannot carry another request
    if (!this.request.complete && this.body === undefined) head.connection = 'close';
    this.response.writeHead(answer.status, head);
    this.response.end(body);
  }

  begin(answer: AnswerHead): void {
    if (this.response.headersSent || this.response.destroyed) return;
    this.response.writeHead(answer.status, headersOf(answer));
  }

  send(chunk: Buffer): boolean {
    return this.response.destroyed || this.response.write(chunk);
  }

  finish(): void {
    this.response.end();
  }

  abort(): void {
    this.response.destroy();
  }
}

function headersOf({ headers, requestId }: AnswerHead): Record<string, string | number> {
  return { ...headers, 'x-request-id': requestId };
}
