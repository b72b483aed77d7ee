/** The sinks of all endpoints: records in, and out again what became of them. */
import type { Clock } from '../../clock.js';
import type { Files } from '../../core/files.js';
import type { KeptRecord } from '../../core/payload-log/payload-log.js';
import type { Destination, DropReason, PayloadRecord } from '../../core/payload-log/record.js';
import type { Log } from '../../log.js';
import { FileSink } from './file-sink.js';
import { HttpSink } from './http-sink.js';
import type { RecordGroup, Settled } from './messages.js';
import { Outage } from './outage.js';
import type { Sink, SinkReport } from './sink.js';

export interface SinksOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
}

export class Sinks {
  /** By destination. A sink whose endpoint's settings changed has nothing to do any more, and goes. */
  private readonly sinks = new Map<string, Sink>();
  private readonly accounts = new Map<string, Account>();

  constructor(private readonly options: SinksOptions) {}

  take(groups: readonly RecordGroup[]): void {
    for (const { to, records } of groups) this.sinkOf(to).add(records.map(joined));
  }

  /** Lets sinks do what is due. */
  tick(): void {
    for (const [key, sink] of this.sinks) {
      sink.tick();
      if (!sink.idle) continue;
      this.sinks.delete(key);
      void sink.close(AbortSignal.abort());
    }
  }

  /** What became of records since it was asked last. */
  settled(): Settled[] {
    const all = [...this.accounts.values()].map((account) => account.settled);
    this.accounts.clear();
    return all;
  }

  /** Writes what there is; what is not written after `deadlineMs` is given up. */
  async close(deadlineMs: number): Promise<void> {
    const signal = AbortSignal.timeout(deadlineMs);
    await Promise.all([...this.sinks.values()].map((sink) => sink.close(signal)));
    this.sinks.clear();
  }

  private sinkOf(to: Destination): Sink {
    const key = JSON.stringify([to.project, to.endpoint, to.sink]);
    let sink = this.sinks.get(key);
    if (!sink) {
      sink = this.open(to);
      this.sinks.set(key, sink);
    }
    return sink;
  }

  private open({ project, endpoint, sink }: Destination): Sink {
    const { files, clock, log } = this.options;
    const report = this.reportOf(project, endpoint);
    const outage = new Outage(log, endpoint);
    if (sink.kind === 'http') return new HttpSink({ settings: sink, report, outage, clock });
    const place = { project, endpoint, prefix: sink.prefix };
    return new FileSink({ settings: sink, place, files, report, outage, clock });
  }

  private reportOf(project: string, endpoint: string): SinkReport {
    const account = () => {
      const key = `${project}/${endpoint}`;
      let open = this.accounts.get(key);
      if (!open) {
        open = new Account(project, endpoint);
        this.accounts.set(key, open);
      }
      return open;
    };
    return {
      freed: (bytes) => account().freed(bytes),
      written: (count) => account().written(count),
      dropped: (count, reason) => account().dropped(count, reason),
    };
  }
}

class Account implements SinkReport {
  private bytes = 0;
  private count = 0;
  private readonly drops: Partial<Record<DropReason, number>> = {};

  constructor(
    private readonly project: string,
    private readonly endpoint: string,
  ) {}

  freed(bytes: number): void {
    this.bytes += bytes;
  }

  written(count: number): void {
    this.count += count;
  }

  dropped(count: number, reason: DropReason): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + count;
  }

  get settled(): Settled {
    const { project, endpoint, bytes, count, drops } = this;
    return { project, endpoint, freedBytes: bytes, written: count, dropped: drops };
  }
}

function joined({ pieces, ...record }: KeptRecord): PayloadRecord {
  const [first] = pieces;
  return { ...record, data: pieces.length === 1 && first ? first : Buffer.concat(pieces) };
}
