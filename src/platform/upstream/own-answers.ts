/** Tells a model server's answers from those of what stands before it: an ingress, Knative's activator or its queue-proxy. */
import type { Exchange, Forward, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { AppError } from '../../errors.js';

/** What they answer by themselves when the server is not to be reached; they say it as plain text, it answers JSON. */
const NOT_REACHED = new Set([404, 500, 502, 503, 504]);

/** A forward whose answers of others become `upstream_failed`, which is tried again where that is allowed. */
export function ownAnswers(forward: Forward): Forward {
  return (call, handler) => {
    const own = new OwnAnswers(handler);
    own.exchange = forward(call, own);
    if (own.refused) own.exchange.cancel();
    return own.exchange;
  };
}

class OwnAnswers implements ReplyHandler {
  exchange: Exchange | undefined;
  refused = false;

  constructor(private readonly handler: ReplyHandler) {}

  onReply(head: ReplyHead, body: Buffer): void {
    if (!isForeign(head)) {
      this.handler.onReply(head, body);
      return;
    }
    this.refused = true;
    if (head.more) this.exchange?.cancel();
    const said = body.toString('utf8', 0, 200).trim();
    const message = `no model server was reached: ${head.status}${said ? ` ${said}` : ''}`;
    this.handler.onError(new AppError('upstream_failed', message, { details: { status: head.status } }));
  }

  onData(chunk: Buffer): void {
    if (!this.refused) this.handler.onData(chunk);
  }

  onEnd(): void {
    if (!this.refused) this.handler.onEnd();
  }

  onError(error: AppError): void {
    if (!this.refused) this.handler.onError(error);
  }
}

function isForeign({ status, headers }: ReplyHead): boolean {
  return NOT_REACHED.has(status) && !(headers['content-type'] ?? '').includes('json');
}
