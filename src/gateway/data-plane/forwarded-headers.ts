import type { HeaderSource } from './plane.js';

type Headers = Readonly<Record<string, string>>;

/** Headers of requests whose body is JSON alone, by its content type: most requests share one of a few. */
const plain = new Map<string, Headers>();
const MAX_PLAIN = 256;
const NONE: Headers = Object.freeze({});

/** The headers that a model server needs to read the body. Frozen and shared where they are usual ones. */
export function forwardedHeaders(source: HeaderSource): Headers {
  const contentType = source.header('content-type');
  const jsonBytes = source.header('inference-header-content-length');
  if (jsonBytes !== undefined) {
    const headers = { 'inference-header-content-length': jsonBytes };
    return contentType === undefined ? headers : { 'content-type': contentType, ...headers };
  }
  if (contentType === undefined) return NONE;
  let headers = plain.get(contentType);
  if (!headers) {
    headers = Object.freeze({ 'content-type': contentType });
    if (plain.size >= MAX_PLAIN) plain.clear();
    plain.set(contentType, headers);
  }
  return headers;
}
