/** The lines of a job's pod, as wrapper.py writes them and the kubelet hands them out with timestamps. */

export type PodLine =
  | { readonly kind: 'stdout' | 'stderr' | 'system'; readonly text: string }
  /** Before the script runs, and when it begins to. */
  | { readonly kind: 'preparing' | 'running'; readonly text: string };

const KINDS: Readonly<Record<string, PodLine['kind']>> = {
  o: 'stdout',
  e: 'stderr',
  s: 'system',
  p: 'preparing',
  r: 'running',
};

/** What a line is: those that begin with SOH say it, all others are the script's stdout. */
export function readPodLine(line: string): PodLine {
  const kind = line.startsWith('\x01') ? KINDS[line[1] ?? ''] : undefined;
  return kind ? { kind, text: line.slice(2) } : { kind: 'stdout', text: line };
}

const STAMPED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?/;

/** Whether a container printed the line: the kubelet's own words, such as that a log is gone, bear no timestamp. */
export function isPrinted(line: string): boolean {
  return STAMPED.test(line);
}

/**
 * Takes the kubelet's timestamps off, and leaves out what was read before: a log that is asked for anew `since` a moment
 * begins at that moment's whole second. Lines of the very same moment are told apart by their number.
 */
export class LogCursor {
  private last = '';
  /** Lines of that moment that were given out. */
  private given = 0;
  /** Lines of that moment that have come since the stream was opened. */
  private seen = 0;

  /** From when on to ask; undefined: from the beginning. */
  get since(): string | undefined {
    return this.last === '' ? undefined : this.last;
  }

  /** A stream begins. */
  open(): void {
    this.seen = 0;
  }

  /** The text of a line, or undefined when it was given out before. */
  take(line: string): string | undefined {
    const stamp = STAMPED.exec(line);
    // the kubelet's own words, such as that it cannot read a file
    if (!stamp?.[1]) return line;
    const at = sortable(stamp[1]);
    const text = line.slice(stamp[0].length);
    const before = sortable(this.last);
    if (at < before) return undefined;
    if (at > before) {
      this.last = stamp[1];
      this.given = 1;
      this.seen = 1;
      return text;
    }
    this.seen += 1;
    if (this.seen <= this.given) return undefined;
    this.given = this.seen;
    return text;
  }
}

/** Timestamps of one kubelet as text that sorts: their fractions have as many digits as they need. */
function sortable(stamp: string): string {
  const [, whole = '', fraction = ''] = /^(.{19})(?:\.(\d+))?/.exec(stamp) ?? [];
  return `${whole}.${fraction.padEnd(9, '0')}`;
}
