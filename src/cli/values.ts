/** Readers of option values. Each says what it expected. */
import { InvalidArgumentError } from 'commander';

/** A whole number of at least `min`. */
export function integer(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    const bounds = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`Expected a whole number ${bounds}.`);
  };
}

/** A number greater than zero. */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a number greater than 0.');
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** Seconds from `90`, `90s`, `30m`, `2h` or `1d`. */
export function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(text);
  const unit = SECONDS[match?.[2] || 's'];
  if (match && unit !== undefined) return Math.round(Number(match[1]) * unit);
  throw new InvalidArgumentError('Expected a time such as 90s, 30m, 2h or 1d.');
}

const MEBIBYTES: Readonly<Record<string, number>> = { m: 1, mb: 1, mib: 1, g: 1024, gb: 1024, gib: 1024 };

/** MiB from `512`, `512m` or `2g`. */
export function mebibytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(text.toLowerCase());
  const unit = MEBIBYTES[match?.[2] || 'm'];
  if (match && unit !== undefined && Number(match[1]) > 0) return Math.ceil(Number(match[1]) * unit);
  throw new InvalidArgumentError('Expected a size such as 512m or 2g.');
}

/** An instant: ISO 8601, or how long ago, such as `2h`. */
export function instant(now: () => number): (text: string) => string {
  return (text) => {
    if (/^\d+(\.\d+)?[a-z]+$/.test(text)) return new Date(now() - seconds(text) * 1000).toISOString();
    const at = Date.parse(text);
    if (!Number.isNaN(at)) return new Date(at).toISOString();
    throw new InvalidArgumentError('Expected a time such as 2026-03-01T12:00:00Z, or how long ago, such as 2h.');
  };
}

/** Collects an option that may be given again and again. */
export function collect(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

/** Splits `name=value`. */
export function pair(text: string): [name: string, value: string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new InvalidArgumentError(`Expected name=value, not "${text}".`);
}

/** Collects `name=value` pairs of text. */
export function textPairs(text: string, before: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const [name, value] = pair(text);
  return { ...before, [name]: value };
}

/** Collects `name=value` pairs whose values are numbers. */
export function numberPairs(
  text: string,
  before: Readonly<Record<string, number>> | undefined,
): Record<string, number> {
  const [name, value] = pair(text);
  const number = Number(value);
  if (value.trim() !== '' && Number.isFinite(number)) return { ...before, [name]: number };
  throw new InvalidArgumentError(`Expected a number for ${name}, not "${value}".`);
}

export type Param = string | number | boolean;

/** Collects parameters: numbers, true and false are taken as such, `"1"` in quotes is text. */
export function params(text: string, before: Readonly<Record<string, Param>> | undefined): Record<string, Param> {
  const [name, value] = pair(text);
  return { ...before, [name]: param(value) };
}

function param(text: string): Param {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'boolean' || typeof value === 'string') return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
  } catch {
    // plain text
  }
  return text;
}

/** Those of the fields that have a value, for a request's body. */
export function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
