/** How long from now the answer of a request over HTTP is of use, in whole milliseconds. */
export const TIMEOUT_HEADER = 'sluice-timeout-ms';

/** Reads one that a client or a gateway sent; undefined for what is none. */
export function readTimeoutHeader(text: string): number | undefined {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return value > 0 ? value : undefined;
}
