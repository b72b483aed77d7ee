/** Structured logs: one JSON object a line on stderr, or a short readable line where a person watches a terminal. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** Least severe level that is written: of this log and of all that were made from the same one. */
  level: LogLevel;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'text';
  readonly write?: (line: string) => void;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 };

export function createLog(options: LogOptions, bound: LogFields = {}): Log {
  return boundLog({ ...options }, bound);
}

function boundLog(options: { -readonly [K in keyof LogOptions]: LogOptions[K] }, bound: LogFields): Log {
  const write = options.write ?? ((line: string) => process.stderr.write(line));
  const emit = (level: LogLevel, message: string, fields?: LogFields) => {
    if (RANK[level] < RANK[options.level]) return;
    const all = { ...bound, ...fields };
    const time = new Date().toISOString();
    write(options.format === 'json' ? asJson(time, level, message, all) : asText(time, level, message, all));
  };
  return {
    get level() {
      return options.level;
    },
    set level(level) {
      options.level = level;
    },
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    with: (fields) => boundLog(options, { ...bound, ...fields }),
  };
}

function asJson(time: string, level: LogLevel, message: string, fields: LogFields): string {
  return `${JSON.stringify({ time, level, message, ...fields }, errorsAsText)}\n`;
}

function asText(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([key, value]) => {
    const text = value instanceof Error ? value.message : typeof value === 'string' ? value : JSON.stringify(value);
    return `${key}=${text}`;
  });
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${message}${pairs.length ? `  ${pairs.join(' ')}` : ''}\n`;
}

function errorsAsText(_key: string, value: unknown): unknown {
  if (value instanceof Error) return { message: value.message, stack: value.stack };
  return typeof value === 'bigint' ? value.toString() : value;
}
