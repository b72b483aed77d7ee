/**
 * Claims of a JSON Web Token (RFC 7519), read WITHOUT verification: anybody can write such a token. They may choose among
 * the revisions of an endpoint that the caller may use anyway, and must never decide whether somebody may.
 */

export type Claims = Readonly<Record<string, unknown>>;

/** Longer than any header that comes through. */
const MAX_TOKEN = 16_384;

/** Whether the text can be nothing but a token: three parts in base64url, the first of them a JSON object. */
export function isJwt(text: string): boolean {
  return text.length <= MAX_TOKEN && /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}

/** The last header that was read: rules and the sticky key of one request ask for the same one. */
let last: { readonly header: string; readonly claims: Claims | undefined } | undefined;

/** The claims of a header that is a token, with `Bearer` before it or not. */
export function claimsOf(header: string | undefined): Claims | undefined {
  if (header === undefined) return undefined;
  if (last?.header !== header) last = { header, claims: decode(header.replace(/^bearer +/i, '').trimEnd()) };
  return last.claims;
}

function decode(token: string): Claims | undefined {
  if (!isJwt(token)) return undefined;
  const from = token.indexOf('.') + 1;
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.slice(from, token.indexOf('.', from)), 'base64url').toString('utf8'),
    );
    return isObject(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** A claim by its name, or by a path with dots into objects; a name that has dots itself goes first. */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const name of path.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A claim's value as text; undefined for what is none: objects, lists, null, the empty text. */
export function claimText(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
}

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
