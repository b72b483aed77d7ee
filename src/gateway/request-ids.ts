/** A client's own id is kept when it is safe to repeat in headers and logs. */
const SANE = /^[\w.:/+=-]{1,128}$/;

/** The client's id for a request, if it is one to be kept. */
export function saneRequestId(given: string | undefined): string | undefined {
  return given !== undefined && SANE.test(given) ? given : undefined;
}

/** Ids that cost nothing to make: unique among all gateways, and in order within one. */
export function createRequestIds(): () => string {
  const prefix = Math.random().toString(36).slice(2, 10);
  let serial = 0;
  return () => `${prefix}-${++serial}`;
}
