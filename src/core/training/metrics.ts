/** One number that a script reported of itself. `value` may be NaN or an infinity; `step` is a whole number >= 0, or null. */
export interface ParsedMetric {
  readonly name: string;
  readonly value: number;
  readonly step: number | null;
}

/** More numbers than this on one line are not reported: such a line is data, not a metric. */
export const MAX_METRICS_PER_LINE = 64;

/** What counts the steps, the most telling first; they are never metrics themselves. Case does not matter. */
const STEP_NAMES = ['step', 'global_step', 'iteration', 'epoch'];
/** An object with one of these is a structured log line, whatever numbers it holds. */
const LOG_KEYS = ['message', 'msg', 'level'];
const PAIR = /[\s,;]*([A-Za-z_][A-Za-z0-9_./@-]{0,127})=([^\s,;]+)/y;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const NOT_FINITE = /^([+-]?)(?:(nan)|inf|infinity)$/i;
const OF_TOTAL = /^(\d+)\/\d+$/;
/** Strings are matched first, so that a word inside one stays what it is. */
const BARE_WORDS = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

/**
 * Reads the metrics of one output line. The rule, so that ordinary log lines do not become metrics by accident:
 *
 * - Pairs. The line begins with `name=value` (no blanks around `=`), pairs are separated by blanks, commas or semicolons.
 *   With a step among these first pairs (`step`, `global_step`, `iteration`, `epoch`; `3` or `3/10`), any other text may
 *   follow them. Without one, the whole line must be pairs. Pairs whose value is no number are passed over.
 * - JSON. The whole line is one object: either `{"metric": name, "value": number, "step"?: number}`, or numbers by name.
 *   In the latter, other values are passed over when there is a step; without a step every value must be a number.
 *   An object with `message`, `msg` or `level` is a log line. Python's bare NaN and Infinity are understood.
 *
 * NaN and infinities are metrics (`nan`, `inf`, `-inf`, `infinity`, in any case). A step that is no whole number >= 0
 * counts as no step: the metrics' step is null.
 */
export function parseMetrics(line: string): ParsedMetric[] {
  const text = line.trim();
  const found = text.startsWith('{') ? fromJson(text) : fromPairs(text);
  return found.length > MAX_METRICS_PER_LINE ? [] : found;
}

function fromPairs(text: string): ParsedMetric[] {
  if (!text.includes('=')) return [];
  const pairs: [string, string][] = [];
  PAIR.lastIndex = 0;
  let end = 0;
  for (let match = PAIR.exec(text); match; match = PAIR.exec(text)) {
    pairs.push([match[1] ?? '', match[2] ?? '']);
    end = PAIR.lastIndex;
  }
  const hasStep = pairs.some(([name]) => isStep(name));
  if (!hasStep && /[^\s,;]/.test(text.slice(end))) return [];
  return withStep(pairs.map(([name, value]) => [name, isStep(name) ? stepNumber(value) : numberOf(value)]));
}

function fromJson(text: string): ParsedMetric[] {
  if (!text.endsWith('}')) return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(BARE_WORDS, (word) => (word.startsWith('"') ? word : `"${word}"`)));
  } catch {
    return [];
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return [];
  const fields: [string, unknown][] = Object.entries(parsed);
  if (fields.some(([name]) => LOG_KEYS.includes(name.toLowerCase()))) return [];
  const record = new Map(fields);
  const metric = record.get('metric');
  if (typeof metric === 'string') {
    const value = numberOf(record.get('value'));
    if (metric === '' || metric.length > 128 || value === undefined) return [];
    return [{ name: metric, value, step: wholeOrNull(record.get('step')) }];
  }
  const numbers = fields.map(([name, value]): [string, number | undefined] => [name, numberOf(value)]);
  const hasStep = fields.some(([name]) => isStep(name));
  if (!hasStep && numbers.some(([, value]) => value === undefined)) return [];
  return withStep(numbers.filter(([name]) => name !== '' && name.length <= 128));
}

function withStep(numbers: readonly (readonly [string, number | undefined])[]): ParsedMetric[] {
  const steps = new Map(numbers.map(([name, value]) => [name.toLowerCase(), value]));
  const step = wholeOrNull(STEP_NAMES.map((name) => steps.get(name)).find((value) => value !== undefined));
  return numbers.flatMap(([name, value]) => (value === undefined || isStep(name) ? [] : [{ name, value, step }]));
}

function isStep(name: string): boolean {
  return STEP_NAMES.includes(name.toLowerCase());
}

function stepNumber(text: string): number | undefined {
  const ofTotal = OF_TOTAL.exec(text.replace(/[:)\]]$/, ''));
  return numberOf(ofTotal ? ofTotal[1] : text.replace(/:$/, ''));
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const notFinite = NOT_FINITE.exec(value);
  if (notFinite?.[2] !== undefined) return Number.NaN;
  if (notFinite) return notFinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return NUMBER.test(value) ? Number(value) : undefined;
}

function wholeOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
