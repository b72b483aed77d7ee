/** What containers printed before they ended, read once a pod and kept for as long as it may be asked for. */
import { messageOf } from '../../errors.js';
import type { KubernetesApi } from '../kubernetes/api.js';

const LINES = 5;
const TIMEOUT_MS = 5000;
/** A container that keeps ending is read again after this. */
const FRESH_MS = 20_000;
const KEPT = 200;

export class LastWords {
  private readonly kept = new Map<string, { readonly words: string; readonly at: number }>();

  constructor(
    private readonly api: KubernetesApi,
    private readonly onRead: () => void,
  ) {}

  of(pod: string): string {
    return this.kept.get(pod)?.words ?? '';
  }

  /** Reads them, unless they were read a moment ago. */
  read(pod: string, container: string): void {
    const now = performance.now();
    const last = this.kept.get(pod);
    if (last && now - last.at < FRESH_MS) return;
    if (this.kept.size >= KEPT) this.kept.clear();
    this.kept.set(pod, { words: last?.words ?? '', at: now });
    void this.fetch(pod, container).then((words) => {
      if (words === '' || words === last?.words) return;
      this.kept.set(pod, { words, at: now });
      this.onRead();
    });
  }

  /** Of the run before, or of the one that ended if there was none before. */
  private async fetch(pod: string, container: string): Promise<string> {
    for (const previous of [true, false]) {
      const lines: string[] = [];
      try {
        for await (const line of this.api.logs(
          pod,
          { container, previous, tailLines: LINES },
          AbortSignal.timeout(TIMEOUT_MS),
        ))
          if (line.trim() !== '') lines.push(line.trim());
      } catch (error) {
        if (!previous) return `its log cannot be read: ${messageOf(error)}`.slice(0, 200);
      }
      if (lines.length > 0) return lines.join(' | ').slice(0, 1000);
    }
    return '';
  }
}
