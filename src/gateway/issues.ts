import type { z } from '@hono/zod-openapi';

type Issue = z.core.$ZodIssue;

const LONGEST = 100;

/** Every problem of a body or of parameters as `path: message (got value)`. */
export function describeIssues(issues: readonly Issue[], input: unknown): string[] {
  return issues.map((issue) => {
    const path = pathOf(issue.path);
    const value = valueAt(input, issue.path);
    const got = issue.path.length === 0 || issue.path.includes('env') ? '' : ` (got ${shown(value)})`;
    return `${path === '' ? '' : `${path}: `}${issue.message}${got}`;
  });
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => {
    return typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined;
  }, input);
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
