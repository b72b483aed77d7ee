/** JSON in which whole numbers beyond 2^53 keep their digits, as INT64 and UINT64 tensors need. */
const MARK = '\u0000int:';
const STRING_OR_LONG_INTEGER = /"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g;

/** Parses; whole numbers of 16 digits and more become marked text, which `stringifyExact` turns back. */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(STRING_OR_LONG_INTEGER, (found) => (found.startsWith('"') ? found : `"\\u0000int:${found}"`)),
  );
}

/** The text of what `parseExact` read. */
export function stringifyExact(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(/"\\u0000int:(-?\d+)"/g, '$1');
}

/** A parsed value for people. */
export function showExact(value: unknown): string {
  return typeof value === 'string' && value.startsWith(MARK) ? value.slice(MARK.length) : String(value);
}
