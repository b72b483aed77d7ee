/** Small pieces of text for people. */

/** How long ago, or in how long, something is: `12 s ago`, `in 3 d`. A dash for nothing. */
export function relativeTime(iso: string | null | undefined, now: number): string {
  if (!iso) return '-';
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return iso;
  const span = duration(Math.abs(now - at));
  if (Math.abs(now - at) < 1000) return 'now';
  return at > now ? `in ${span}` : `${span} ago`;
}

/** A span of time in its two largest units: `850 ms`, `12 s`, `3 min 5 s`, `2 h 4 min`, `5 d`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const sec = Math.floor(ms / 1000);
  if (sec < 60) return `${sec} s`;
  if (sec < 600) return sec % 60 ? `${Math.floor(sec / 60)} min ${sec % 60} s` : `${sec / 60} min`;
  if (sec < 3600) return `${Math.floor(sec / 60)} min`;
  const minutes = Math.floor((sec % 3600) / 60);
  if (sec < 86_400) return minutes ? `${Math.floor(sec / 3600)} h ${minutes} min` : `${Math.floor(sec / 3600)} h`;
  return `${Math.floor(sec / 86_400)} d`;
}

/** `512 B`, `1.5 KiB`, `20 GiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`;
}

/** A number with at most `digits` significant ones; a dash for none. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return '-';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '-' : String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}

/** `1 file`, `3 files`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Text from elsewhere made safe for one line of a terminal: control characters become spaces. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
}
