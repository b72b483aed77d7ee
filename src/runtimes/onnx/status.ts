import type { Api, Out, Status } from './api.js';

/** OrtErrorCode, as far as it is told apart. */
export const INVALID_ARGUMENT = 2;
export const NOT_IMPLEMENTED = 9;
export const EP_FAIL = 11;

/** A call of ONNX Runtime's failed; the message is its own. */
export class OrtError extends Error {
  override readonly name = 'OrtError';

  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/** Throws what a call has to say when it failed. */
export function check(api: Api, status: Status): void {
  if (status === null) return;
  const error = new OrtError(api.errorCode(status), tidy(api.errorMessage(status)));
  api.releaseStatus(status);
  throw error;
}

/** The address that a call writes. For what runs on this thread alone: the memory is one for all. */
export function addressFrom(api: Api, call: (out: Out) => Status): bigint {
  check(api, call(cell));
  return cell[0] as bigint;
}

/** A C `int` or enumeration that a call writes. */
export function numberFrom(api: Api, call: (out: Out) => Status): number {
  check(api, call(ints));
  return ints[0] as number;
}

const cell = new BigUint64Array(1);
const ints = new Int32Array(2);

/** Messages name the operations that an error passed through, which can be very many. */
const MAX_MESSAGE = 2000;

/** Without the places in ONNX Runtime's own sources that it passed through. */
function tidy(message: string): string {
  const text = message
    .replace(/\/onnxruntime_src\/\S+:\d+ .*?(\) |was false\. )(?=[A-Z[])/gs, '')
    .replace(/\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /g, '')
    .replace(/\b\w+\.cc:\d+ \w+ /g, '');
  return text.trim().replace(/\.$/, '').slice(0, MAX_MESSAGE);
}
