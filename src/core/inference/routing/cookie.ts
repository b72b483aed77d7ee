/** The value of one cookie in a `Cookie` header (RFC 6265), without quotes; undefined when it is not there or empty. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (let at = header.indexOf(name); at >= 0; at = header.indexOf(name, at + 1)) {
    if (header[at + name.length] !== '=' || !begins(header, at)) continue;
    const from = at + name.length + 1;
    const end = header.indexOf(';', from);
    const value = header.slice(from, end < 0 ? undefined : end).trim();
    const bare = value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
    return bare === '' ? undefined : bare;
  }
  return undefined;
}

/** Whether a cookie's name may begin there: at the start, or after a semicolon. */
function begins(header: string, at: number): boolean {
  let before = at - 1;
  while (header[before] === ' ') before--;
  return before < 0 || header[before] === ';';
}
