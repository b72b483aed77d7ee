/** What an answer must be, in the words of its protocol. */

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** In which form errors are told. */
export type Form = 'inference' | 'openai' | 'control';

/** Statuses that no input of a client may bring about while all model servers are up. */
const OURS: ReadonlySet<number> = new Set([500, 502, 503, 504]);
/** gRPC's statuses, less those that no input may bring about: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const KNOWN_GRPC = new Set([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16]);

/** What is wrong with an answer; undefined: nothing. `foreign`: statuses of an external server are its own. */
export function faultOf({ status, headers, body }: HttpAnswer, form: Form, foreign = false): string | undefined {
  if (status < 200 || status > 599) return `the status is ${status}`;
  if (OURS.has(status) && !(foreign && status !== 500)) return `the status is ${status}: ${shown(body)}`;
  const length = headers['content-length'];
  if (length !== undefined && Number(length) !== body.length) return `${body.length} bytes came of ${length}`;
  const text = body.toString();
  if (status >= 400) return errorFault(text, form);
  const type = String(headers['content-type'] ?? '');
  const headerLength = headers['inference-header-content-length'];
  if (headerLength !== undefined) return jsonFault(body.toString('utf8', 0, Number(headerLength)));
  return type.startsWith('application/json') ? jsonFault(text) : undefined;
}

function jsonFault(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch {
    return `the answer is not JSON: ${text.slice(0, 200)}`;
  }
}

function errorFault(text: string, form: Form): string | undefined {
  let error: unknown;
  try {
    ({ error } = JSON.parse(text) as { error?: unknown });
  } catch {
    return `the error is not JSON: ${text.slice(0, 200)}`;
  }
  if (form === 'inference') return isText(error) ? undefined : `"error" is no text: ${text.slice(0, 200)}`;
  const { message, code, requestId } = (error ?? {}) as Record<string, unknown>;
  const whole = isText(message) && (form === 'openai' || (isText(code) && isText(requestId)));
  return whole ? undefined : `"error" is not of the form ${form}: ${text.slice(0, 200)}`;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

/** What is wrong with the end of a gRPC call. */
export function grpcFaultOf(status: string | undefined, message: string | undefined): string | undefined {
  if (status === undefined) return 'the call ended without a status';
  if (!KNOWN_GRPC.has(Number(status))) return `the status is ${status}: ${message}`;
  return status === '0' || (message !== undefined && message !== '') ? undefined : `status ${status} has no message`;
}

export function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 200));
}
