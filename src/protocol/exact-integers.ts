/**
 * The slow second reading of a JSON text, used only when the first one met an integer beyond 2^53: integers of 16 and
 * more digits come back as text with all their digits, everything else as JSON.parse gives it. Node 20 has no source
 * text in revivers, so the digits are put into quotes before the parse.
 */
export function parseExactIntegers(text: string): unknown {
  return JSON.parse(rewriteNumbers(text, (token) => (/^-?\d{16,}$/.test(token) ? `"${token}"` : token)));
}

/**
 * Quotes the bare NaN, Infinity and -Infinity that Python's json module writes and JSON does not know. Undefined when
 * the text holds none, so that the first error can be reported as it was.
 */
export function quoteNonFinite(text: string): string | undefined {
  if (!/NaN|Infinity/.test(text)) return undefined;
  return rewriteNumbers(text, (token) => (/^(NaN|-?Infinity)$/.test(token) ? `"${token}"` : token));
}

/** Replaces the bare words and numbers of a JSON text, leaving strings alone. One pass, no backtracking. */
function rewriteNumbers(text: string, replace: (token: string) => string): string {
  const out: string[] = [];
  let from = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    if (!isWord(code)) {
      at++;
      continue;
    }
    let end = at + 1;
    while (end < text.length && isWord(text.charCodeAt(end))) end++;
    const token = text.slice(at, end);
    const next = replace(token);
    if (next !== token) {
      out.push(text.slice(from, at), next);
      from = end;
    }
    at = end;
  }
  out.push(text.slice(from));
  return out.join('');
}

const QUOTE = 34;
const BACKSLASH = 92;

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}

/** Letters, digits, and the signs and point that a number holds. */
function isWord(code: number): boolean {
  return (
    (code >= 48 && code <= 57) ||
    (code >= 65 && code <= 90) ||
    (code >= 97 && code <= 122) ||
    code === 43 ||
    code === 45 ||
    code === 46
  );
}
