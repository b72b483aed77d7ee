/** Trace context (W3C Trace Context, version 00): passed on as it came, so that what a request causes can be found by it. */

const TRACE_PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A `traceparent` header's value when it is one; anything else is as if it had not been sent. */
export function traceParent(value: string | undefined): string | undefined {
  return value !== undefined && TRACE_PARENT.test(value) ? value : undefined;
}
