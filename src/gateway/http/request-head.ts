/**
 * The head of a plain HTTP/1.1 request, as nearly all predictions have it. Strict: whatever is unusual, doubtful or
 * malformed is not read here but left to Node's own server, which knows all of HTTP. What is read must therefore mean the
 * same to every reader: one content-length or none, no transfer-encoding, no repeated header, no folded line.
 */

export interface RequestHead {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly url: string;
  /** In lower case; values stand at the same index. */
  readonly names: readonly string[];
  readonly values: readonly string[];
  readonly contentLength: number;
}

/** The end of a head. */
export const HEAD_END = Buffer.from('\r\n\r\n');
/** Larger heads are for Node's server to read or to refuse. */
export const MAX_HEAD_BYTES = 8 * 1024;

/** What no head may hold: control characters. Carriage returns and line feeds are looked at line by line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LENGTH = /^\d{1,10}$/;

/** Headers that change how the rest is to be read, or what the connection is for. */
const UNUSUAL = new Set([
  'transfer-encoding',
  'expect',
  'upgrade',
  'trailer',
  'te',
  'http2-settings',
  'proxy-connection',
]);

/** Reads the text of a head, without the empty line that ends it; undefined when it is for Node's server. */
export function readHead(text: string): RequestHead | undefined {
  if (FORBIDDEN.test(text)) return undefined;
  const lineEnd = endOfLine(text, 0);
  const request = text.slice(0, lineEnd);
  const method = request.startsWith('POST /') ? 'POST' : request.startsWith('GET /') ? 'GET' : undefined;
  if (!method || !request.endsWith(' HTTP/1.1')) return undefined;
  const url = request.slice(method.length + 1, -9);
  if (url.includes(' ') || hasBareBreak(request)) return undefined;
  const names: string[] = [];
  const values: string[] = [];
  let contentLength = 0;
  let host = false;
  for (let at = lineEnd + 2; at < text.length; ) {
    const end = endOfLine(text, at);
    const colon = text.indexOf(':', at);
    if (colon === -1 || colon > end) return undefined;
    const name = nameOf(text.slice(at, colon));
    const value = trim(text, colon + 1, end);
    if (name === undefined || value === undefined || names.includes(name)) return undefined;
    if (name === 'content-length') {
      if (!LENGTH.test(value)) return undefined;
      contentLength = Number(value);
    } else if (name === 'host') host = true;
    else if (name === 'connection' && value.toLowerCase() !== 'keep-alive') return undefined;
    else if (UNUSUAL.has(name)) return undefined;
    names.push(name);
    values.push(value);
    at = end + 2;
  }
  return host ? { method, url, names, values, contentLength } : undefined;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\r\n', from);
  return end === -1 ? text.length : end;
}

/** A value without the white space around it; undefined when a line break hides in it. */
function trim(text: string, from: number, to: number): string | undefined {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  const value = text.slice(start, end);
  return hasBareBreak(value) ? undefined : value;
}

function hasBareBreak(text: string): boolean {
  return text.includes('\r') || text.includes('\n');
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Names as they were sent, and what they mean: clients send the same few, and making lower case of each costs more. */
const names = new Map<string, string>();
const MAX_NAMES = 1000;

/** A header's name in lower case; undefined when it is none. */
function nameOf(sent: string): string | undefined {
  const known = names.get(sent);
  if (known !== undefined) return known;
  if (!TOKEN.test(sent)) return undefined;
  if (names.size >= MAX_NAMES) names.clear();
  const name = sent.toLowerCase();
  names.set(sent, name);
  return name;
}
