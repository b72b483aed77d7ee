/**
 * Reads a foreign document field by field. What nobody asks for is a mistake of its own: no field can be dropped by
 * oversight, because dropping one is a call with the reason.
 */
import { closest, shown } from '../closest.js';

export type Path = readonly (string | number)[];

/** Something to say about a field: an error where going on would change what the document means. */
export interface Finding {
  readonly level: 'error' | 'warning';
  readonly path: Path;
  readonly message: string;
}

/** `spec.predictor.containers[0].image`; names with dots are quoted. */
export function pathText(path: Path): string {
  return path
    .map((part, at) => {
      if (typeof part === 'number') return `[${part}]`;
      if (/[^\w-]/.test(part)) return `["${part}"]`;
      return at === 0 ? part : `.${part}`;
    })
    .join('');
}

export class Fields {
  private readonly asked = new Set<string>();

  constructor(
    private readonly values: Readonly<Record<string, unknown>>,
    readonly path: Path,
    private readonly findings: Finding[],
  ) {}

  has(name: string): boolean {
    return this.values[name] !== undefined && this.values[name] !== null;
  }

  /** Names of the fields that nobody has asked for yet. */
  left(): string[] {
    return Object.keys(this.values).filter((name) => !this.asked.has(name) && this.has(name));
  }

  /** A value as it is; undefined where it is absent or null. */
  take(name: string): unknown {
    this.asked.add(name);
    return this.values[name] ?? undefined;
  }

  text(name: string): string | undefined {
    const value = this.take(name);
    if (value === undefined || typeof value === 'string') return value;
    this.expected(name, 'text');
    return undefined;
  }

  /** Text, or a number or flag as text: what people forget to quote. */
  scalar(name: string): string | undefined {
    const value = this.take(name);
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    if (value === undefined || typeof value === 'string') return value;
    this.expected(name, 'text');
    return undefined;
  }

  /** A whole number within bounds. */
  whole(name: string, min: number, max: number): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    this.expected(name, `a whole number from ${min} to ${max}`);
    return undefined;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    const found = values.find((one) => one === value);
    if (found === undefined) this.expected(name, `one of ${values.join(', ')}`);
    return found;
  }

  child(name: string): Fields | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (isMap(value)) return new Fields(value, [...this.path, name], this.findings);
    this.expected(name, 'fields');
    return undefined;
  }

  /** The entries of a list of maps. */
  children(name: string): Fields[] {
    return this.list(name).flatMap((value, at) => {
      if (isMap(value)) return [new Fields(value, [...this.path, name, at], this.findings)];
      this.say('error', [...this.path, name, at], `is ${shown(value)}, expected fields`);
      return [];
    });
  }

  /** The entries of a list of text. */
  texts(name: string): string[] {
    return this.list(name).flatMap((value, at) => {
      if (typeof value === 'string') return [value];
      this.say('error', [...this.path, name, at], `is ${shown(value)}, expected text`);
      return [];
    });
  }

  private list(name: string): readonly unknown[] {
    const value = this.take(name);
    if (value === undefined || Array.isArray(value)) return value ?? [];
    this.expected(name, 'a list');
    return [];
  }

  /** The field is not honoured as it stands; `what` says what happens instead. */
  warn(name: string, what: string): void {
    this.about('warning', name, what);
  }

  /** Going on would change what the document means. */
  refuse(name: string, what: string): void {
    this.about('error', name, what);
  }

  /** Those of these fields that are there are not honoured. */
  warnOf(table: Readonly<Record<string, string>>): void {
    for (const [name, what] of Object.entries(table)) if (this.has(name)) this.warn(name, what);
  }

  /** None of these fields may be there. */
  refuseOf(table: Readonly<Record<string, string>>): void {
    for (const [name, what] of Object.entries(table)) if (this.has(name)) this.refuse(name, what);
  }

  /** What something else wrote here says nothing about what is wanted. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.asked.add(name);
  }

  /** Says of every field that nobody asked for that there is none of this name. */
  end(): void {
    const known = [...this.asked];
    for (const name of this.left()) {
      const close = closest(name, known);
      this.say('error', [...this.path, name], `is no field that is known${close ? `; did you mean ${close}?` : ''}`);
    }
  }

  private about(level: Finding['level'], name: string, what: string): void {
    this.asked.add(name);
    const value = this.values[name];
    const isPlain = typeof value !== 'object' || value === null;
    this.say(level, [...this.path, name], isPlain && value !== undefined ? `is ${shown(value)}: ${what}` : what);
  }

  private expected(name: string, what: string): void {
    this.say('error', [...this.path, name], `is ${shown(this.values[name])}, expected ${what}`);
  }

  private say(level: Finding['level'], path: Path, message: string): void {
    const text = /^(is|are|cannot) /.test(message) ? ` ${message}` : `: ${message}`;
    this.findings.push({ level, path, message: `${pathText(path)}${text}` });
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
