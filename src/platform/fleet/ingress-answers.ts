/**
 * Tells what a cluster's way to a model server answers from what the model server does. Our model servers name the code of
 * every error in a header; others answer errors in JSON, mostly; Knative's parts and its ingresses answer plain text.
 */
import type { Call, Exchange, Forward, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { AppError, ERROR_CODE_HEADER } from '../../errors.js';

/** Whose model server is behind the way: our own, or somebody else's. */
export type Behind = 'runtime' | 'server';

/** Of an answer's text, in a message. */
const SHOWN = 200;

/** The way to a model server, on which what stands in between answers with errors instead of replies. */
export function pastIngress(forward: Forward, behind: Behind): Forward {
  return (call, handler) => new Watched(handler).start(forward, call, behind);
}

/** What stands in between, if it was that which answered, meant; undefined: it is the model server's own answer. */
export function ingressError(
  head: Pick<ReplyHead, 'status' | 'headers'>,
  text: string,
  behind: Behind,
): AppError | undefined {
  const { status, headers } = head;
  if (status < 400 || headers[ERROR_CODE_HEADER] !== undefined) return undefined;
  if (behind === 'server' && isOwn(status, headers)) return undefined;
  const said = text.trim().slice(0, SHOWN);
  const words = `the cluster answered for the model server: status ${status}${said ? `, ${said}` : ''}`;
  const details = { status };
  switch (status) {
    case 404:
      // its ingress does not know the revision, not yet or not any more: nobody was asked
      return new AppError('not_ready', words, { details, retryAfterSec: 1 });
    case 502:
      return new AppError('upstream_failed', words, { details });
    case 503:
      // queue-proxy and activator refuse who would be one too many; everything else may be better at once
      return /queue full/i.test(said)
        ? new AppError('overloaded', words, { details, retryAfterSec: 1 })
        : new AppError('upstream_failed', words, { details });
    case 504:
      return new AppError('timeout', words, { details });
    default:
      return undefined;
  }
}

/** Of a server that we know nothing of: JSON is its own; so is a 404, unless the ingress says that it asked nobody. */
function isOwn(status: number, headers: Readonly<Record<string, string>>): boolean {
  if (/\bjson\b/i.test(headers['content-type'] ?? '')) return true;
  if (status !== 404) return false;
  const isEnvoy = /envoy/i.test(headers.server ?? '');
  return !(isEnvoy && headers['x-envoy-upstream-service-time'] === undefined);
}

class Watched implements ReplyHandler, Exchange {
  private exchange: Exchange | undefined;
  private behind: Behind = 'runtime';
  private over = false;

  constructor(private readonly handler: ReplyHandler) {}

  start(forward: Forward, call: Call, behind: Behind): Exchange {
    this.behind = behind;
    this.exchange = forward(call, this);
    return this;
  }

  onReply(head: ReplyHead, body: Buffer): void {
    const text = head.status < 400 ? '' : body.toString('utf8', 0, 2 * SHOWN);
    const error = ingressError(head, text, this.behind);
    if (!error) {
      this.handler.onReply(head, body);
      return;
    }
    this.over = true;
    if (head.more) this.exchange?.cancel();
    this.handler.onError(error);
  }

  onData(chunk: Buffer): void {
    if (!this.over) this.handler.onData(chunk);
  }

  onEnd(): void {
    if (!this.over) this.handler.onEnd();
  }

  onError(error: AppError): void {
    if (!this.over) this.handler.onError(error);
  }

  cancel(): void {
    this.exchange?.cancel();
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }
}
