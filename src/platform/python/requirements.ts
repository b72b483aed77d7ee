import { AppError } from '../../errors.js';

/** Options of pip that a requirement line may be; any other option reads files of the gateway's machine, and is refused. */
const ALLOWED_OPTION = /^--(index-url|extra-index-url|find-links|pre|only-binary|no-binary|prefer-binary|no-index)\b/;

/**
 * Requirement lines in one form, so that equal sets get one environment: no comments, single blanks, project names as
 * PyPI compares them (`Foo_Bar` is `foo-bar`), sorted, each once; options first and in their order. Refused (`invalid`):
 * references to files and folders, such as `-r`, `-e` and paths, since their content is no part of the line.
 */
export function normaliseRequirements(lines: readonly string[]): string[] {
  const options: string[] = [];
  const packages = new Set<string>();
  for (const raw of lines) {
    const line = raw
      .replace(/(^|\s)#.*$/s, '')
      .replaceAll(/[ \t]+/g, ' ')
      .trim();
    if (line === '') continue;
    if (/[\r\n\0]/.test(line) || line.endsWith('\\')) refuse(raw, 'must be a single line');
    if (line.startsWith('-')) {
      if (!ALLOWED_OPTION.test(line)) refuse(raw, 'is an option that is not allowed here');
      if (!options.includes(line)) options.push(line);
    } else if (/^[./~]|^file:|@ *file:|\s-[rce]\b/i.test(line)) {
      refuse(raw, 'names a file or a folder; only packages by name or URL are allowed');
    } else {
      packages.add(
        line.replace(/^[A-Za-z0-9._-]+(?=$|[\s[=<>!~;@])/, (name) => name.toLowerCase().replaceAll(/[-_.]+/g, '-')),
      );
    }
  }
  return [...options, ...[...packages].sort()];
}

function refuse(line: string, why: string): never {
  throw new AppError('invalid', `requirement ${JSON.stringify(line.slice(0, 200))} ${why}`, {
    details: { field: 'requirements', value: line.slice(0, 200) },
  });
}
