/** A header field as HPACK tables hold it, checked once when it is made, and HPACK's static table (RFC 7541, appendix A). */

export interface HeaderField {
  readonly name: string;
  /** Each byte as one character. */
  readonly value: string;
  /** As tables and limits count it: the bytes of both, and 32. */
  readonly size: number;
  /** The name begins with a colon. */
  readonly pseudo: boolean;
  /** Whether the field may be in a request at all (RFC 9113, section 8.2). */
  readonly valid: boolean;
}

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** No NUL, CR or LF anywhere, no white space at the ends. */
const VALUE = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/;
/** Fields of HTTP/1.1 connections. */
const FORBIDDEN = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

export function headerField(name: string, value: string): HeaderField {
  const wellFormed = NAME.test(name) && VALUE.test(value) && !FORBIDDEN.has(name);
  return {
    name,
    value,
    size: name.length + value.length + 32,
    pseudo: name.charCodeAt(0) === 58,
    valid: wellFormed && (name !== 'te' || value === 'trailers'),
  };
}

/** Index 1 is the first. */
export const STATIC_TABLE: readonly HeaderField[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
].map(([name = '', value = '']) => headerField(name, value));
