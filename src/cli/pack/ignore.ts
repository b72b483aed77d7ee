/** What is never packed: other people's code, caches and history. */
export const ALWAYS_SKIPPED: ReadonlySet<string> = new Set(['.git', '__pycache__', 'node_modules', '.venv']);

/** Name of the file that names what else is left out. */
export const IGNORE_FILE = '.sluiceignore';

/** Whether a path, relative to the packed folder and with forward slashes, is left out. */
export type Ignore = (path: string, isFolder: boolean) => boolean;

/**
 * Reads patterns as `.gitignore` has them: `*`, `?`, `**`, `[abc]`; a slash at the end means folders only, a slash
 * elsewhere ties the pattern to the top folder, `!` takes back, `#` begins a comment. The last match decides.
 */
export function parseIgnore(text: string): Ignore {
  const rules = text.split(/\r?\n/).flatMap((line) => {
    const pattern = line.trim();
    return pattern === '' || pattern.startsWith('#') ? [] : [rule(pattern)];
  });
  return (path, isFolder) => {
    let ignored = false;
    for (const { keep, foldersOnly, regex } of rules) {
      if ((isFolder || !foldersOnly) && regex.test(path)) ignored = !keep;
    }
    return ignored;
  };
}

function rule(pattern: string): { keep: boolean; foldersOnly: boolean; regex: RegExp } {
  const keep = pattern.startsWith('!');
  let rest = keep ? pattern.slice(1) : pattern;
  const foldersOnly = rest.endsWith('/');
  if (foldersOnly) rest = rest.slice(0, -1);
  const anchored = rest.includes('/');
  rest = rest.replace(/^\//, '');
  return { keep, foldersOnly, regex: new RegExp(`^${anchored ? '' : '(?:.*/)?'}${translate(rest)}$`) };
}

function translate(pattern: string): string {
  let out = '';
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at] ?? '';
    const set = char === '[' ? /^\[!?[^\]/]+\]/.exec(pattern.slice(at))?.[0] : undefined;
    if (pattern.startsWith('**/', at)) {
      out += '(?:.*/)?';
      at += 2;
    } else if (pattern.startsWith('**', at)) {
      out += '.*';
      at += 1;
    } else if (char === '*') out += '[^/]*';
    else if (char === '?') out += '[^/]';
    else if (set) {
      out += set.replace(/^\[!/, '[^').replace(/\\/g, '\\\\');
      at += set.length - 1;
    } else out += char.replace(/[\\^$.|+()[\]{}]/g, '\\$&');
  }
  return out;
}
