/**
 * Tells what a cluster's way to a model server answers from what the model server does. Our model servers name the code of
 * every error in a header; others answer errors in JSON, mostly; Knative's parts and its ingresses answer plain text.
 */
import type { Call, Exchange, Forward, ReplyHandler, ReplyHead } from '../../core/inference/forward.js';
import { AppError, asAppError, ERROR_CODE_HEADER } from '../../errors.js';

/** Whose model server is behind the way: our own, or somebody else's. */
export type Behind = 'runtime' | 'server';

/** Of an answer's text, in a message. */
const SHOWN = 200;
/** How long what nobody was asked is asked again: an ingress learns of a revision a moment after everybody else. */
const PATIENCE_MS = 10_000;
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 500;

/** The way to a model server, on which what stands in between answers with errors instead of replies. */
export function pastIngress(forward: Forward, behind: Behind): Forward {
  return (call, handler) => new Watched({ forward, call, behind }, handler).start();
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
      // queue-proxy and activator refuse who would be one too many
      if (/queue full/i.test(said)) return new AppError('overloaded', words, { details, retryAfterSec: 1 });
      if (/no healthy upstream/i.test(said)) return new AppError('not_ready', words, { details, retryAfterSec: 1 });
      return new AppError('upstream_failed', words, { details });
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
  private readonly until: number;
  private exchange: Exchange | undefined;
  private timer: NodeJS.Timeout | undefined;
  private tries = 0;
  private over = false;

  constructor(
    private readonly way: { readonly forward: Forward; readonly call: Call; readonly behind: Behind },
    private readonly handler: ReplyHandler,
  ) {
    this.until = performance.now() + Math.min(PATIENCE_MS, way.call.timeoutMs ?? PATIENCE_MS);
  }

  start(): this {
    const { forward, call } = this.way;
    this.exchange = forward(call, this);
    return this;
  }

  onReply(head: ReplyHead, body: Buffer): void {
    const text = head.status < 400 ? '' : body.toString('utf8', 0, 2 * SHOWN);
    const error = ingressError(head, text, this.way.behind);
    if (!error) {
      this.handler.onReply(head, body);
      return;
    }
    if (head.more) this.exchange?.cancel();
    this.exchange = undefined;
    const waitMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries++);
    const late = performance.now() + waitMs > this.until;
    if (error.code === 'not_ready' && !late && !this.way.call.rest) this.timer = setTimeout(() => this.again(), waitMs);
    // who asks again asks at once, which is too soon for what just went away
    else this.timer = setTimeout(() => this.onError(error), error.code === 'upstream_failed' ? waitMs : 0);
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk);
  }

  onEnd(): void {
    this.handler.onEnd();
  }

  onError(error: AppError): void {
    if (this.over) return;
    this.over = true;
    this.handler.onError(error);
  }

  cancel(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.exchange?.cancel();
  }

  pause(): void {
    this.exchange?.pause();
  }

  resume(): void {
    this.exchange?.resume();
  }

  private again(): void {
    try {
      this.start();
    } catch (error) {
      this.onError(asAppError(error));
    }
  }
}
