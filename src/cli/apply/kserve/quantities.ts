/** Kubernetes' ways of writing amounts and times. */

const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** A quantity such as `500m`, `2Gi` or `1e3`; undefined when it is none. */
export function quantity(text: string): number | undefined {
  const match = /^(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+)|([numkMGTP]|[KMGTP]i)?)$/.exec(text.trim());
  if (!match) return undefined;
  const value = Number(match[1]) * 10 ** Number(match[2] ?? 0) * (FACTORS[match[3] ?? ''] ?? 1);
  return Number(value.toPrecision(12));
}

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };

/** Seconds of a time such as `90s` or `1m30s`; undefined when it is none. */
export function goSeconds(text: string): number | undefined {
  if (text.trim() === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text.trim())) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit = 's']) => sum + Number(count) * (SECONDS[unit] ?? 1), 0);
}
