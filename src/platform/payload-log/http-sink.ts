/** Sends records as CloudEvents by HTTP: one a request in binary mode, as KServe's logger does, or several in batched mode. */
import { Pool } from 'undici';
import type { Clock } from '../../clock.js';
import { recordBytes } from '../../core/payload-log/budget.js';
import { attributesOf, eventHeaders, eventJson } from '../../core/payload-log/cloud-event.js';
import type { DropReason, PayloadRecord } from '../../core/payload-log/record.js';
import type { HttpSinkSettings } from '../../core/payload-log/settings.js';
import { AppError } from '../../errors.js';
import type { Outage } from './outage.js';
import { MAX_ATTEMPTS, retryDelayMs, type Sink, type SinkReport } from './sink.js';

/** Requests under way at once, each on a connection of its own. */
const CONNECTIONS = 4;
const ANSWER_TIMEOUT_MS = 10_000;
/** A batch takes no further event when it has so many bytes of bodies. */
const BATCH_BYTES = 2 ** 20;
/** Answers that say nothing against the event: the same again may be taken. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

export interface HttpSinkOptions {
  readonly settings: HttpSinkSettings;
  readonly report: SinkReport;
  readonly outage: Outage;
  readonly clock: Clock;
}

export class HttpSink implements Sink {
  private readonly pool: Pool;
  private readonly path: string;
  private readonly stopping = new AbortController();
  private readonly queue: PayloadRecord[] = [];
  private underWay = 0;
  /** Of a batch that waits for more. */
  private timer: NodeJS.Timeout | undefined;
  private closing = false;
  private emptied: () => void = () => {};

  constructor(private readonly options: HttpSinkOptions) {
    const { origin, pathname, search } = new URL(options.settings.url);
    this.path = pathname + search;
    this.pool = new Pool(origin, {
      connections: CONNECTIONS,
      pipelining: 1,
      headersTimeout: ANSWER_TIMEOUT_MS,
      bodyTimeout: ANSWER_TIMEOUT_MS,
      connect: { timeout: ANSWER_TIMEOUT_MS },
    });
  }

  get idle(): boolean {
    return this.queue.length === 0 && this.underWay === 0;
  }

  add(records: readonly PayloadRecord[]): void {
    for (const record of records) this.queue.push(record);
    this.send();
  }

  tick(): void {}

  async close(signal: AbortSignal): Promise<void> {
    this.closing = true;
    clearTimeout(this.timer);
    const abort = () => this.stopping.abort();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const empty = new Promise<void>((resolve) => {
      this.emptied = resolve;
    });
    this.send(true);
    if (!this.idle) await empty;
    await this.pool.destroy();
  }

  /** Sends what is due, as far as there are connections. */
  private send(waited = false): void {
    const { batch } = this.options.settings;
    let due = waited || this.closing || batch === undefined;
    while (this.queue.length > 0 && this.underWay < CONNECTIONS) {
      if (!due && batch && this.queue.length < batch.maxEvents) {
        this.timer ??= setTimeout(() => {
          this.timer = undefined;
          this.send(true);
        }, batch.maxDelayMs);
        return;
      }
      due = this.closing || batch === undefined;
      this.underWay++;
      void this.deliver(this.takeBatch(batch?.maxEvents ?? 1));
    }
  }

  private takeBatch(maxEvents: number): PayloadRecord[] {
    let count = 0;
    for (let bytes = 0; count < maxEvents && count < this.queue.length; count++) {
      bytes += this.queue[count]?.data.length ?? 0;
      if (count > 0 && bytes > BATCH_BYTES) break;
    }
    return this.queue.splice(0, count);
  }

  /** Never rejects. */
  private async deliver(records: readonly PayloadRecord[]): Promise<void> {
    const { report } = this.options;
    const reason = await this.attempts(records);
    report.freed(records.reduce((sum, { data }) => sum + recordBytes(data.length), 0));
    if (reason === undefined) report.written(records.length);
    else report.dropped(records.length, reason);
    this.underWay--;
    this.send();
    if (this.idle) this.emptied();
  }

  /** Why the records were given up; undefined when they were taken. */
  private async attempts(records: readonly PayloadRecord[]): Promise<DropReason | undefined> {
    const { clock, outage } = this.options;
    const { signal } = this.stopping;
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) return 'stopped';
      try {
        const status = await this.post(records);
        if (status >= 200 && status < 300) {
          outage.worked();
          return undefined;
        }
        outage.failed(new AppError('upstream_failed', `${this.options.settings.url} answered ${status}`));
        if (!PASSING.has(status)) return 'sink_failed';
      } catch (error) {
        if (signal.aborted) return 'stopped';
        outage.failed(error);
      }
      if (attempt === MAX_ATTEMPTS) return 'sink_failed';
      await clock.sleep(retryDelayMs(attempt, Math.random()), signal).catch(() => {});
    }
  }

  /** The status of the answer. */
  private async post(records: readonly PayloadRecord[]): Promise<number> {
    const { statusCode, body } = await this.pool.request({
      path: this.path,
      method: 'POST',
      signal: this.stopping.signal,
      ...(this.options.settings.batch === undefined ? single(records) : batched(records)),
    });
    await body.dump();
    return statusCode;
  }
}

interface Message {
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | string;
}

function single([record]: readonly PayloadRecord[]): Message {
  if (!record) throw new AppError('internal', 'there is no event to send');
  return { headers: eventHeaders(attributesOf(record)), body: record.data };
}

function batched(records: readonly PayloadRecord[]): Message {
  return {
    headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' },
    body: `[${records.map(eventJson).join(',')}]`,
  };
}
