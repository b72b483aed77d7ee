/**
 * Writes records into files of the blob store: blocks of them to a draft, as they come, and the draft under its name when
 * it is old or large enough. So memory is free again soon, and nobody ever sees half a file.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.js';
import type { FileDraft, Files } from '../../core/files.js';
import { recordBytes } from '../../core/payload-log/budget.js';
import { type LogPlace, logFileName } from '../../core/payload-log/files.js';
import type { DropReason, PayloadRecord } from '../../core/payload-log/record.js';
import type { BlobsSinkSettings } from '../../core/payload-log/settings.js';
import type { FileEncoder } from './format.js';
import { FORMATS } from './formats.js';
import type { Outage } from './outage.js';
import { MAX_ATTEMPTS, retryDelayMs, type Sink, type SinkReport } from './sink.js';

/** Records are written when they have so many bytes, or the first of them is so old. */
const BLOCK_BYTES = 2 ** 20;
const BLOCK_MS = 2_000;

export interface FileSinkOptions {
  readonly settings: BlobsSinkSettings;
  readonly place: LogPlace;
  readonly files: Files;
  readonly report: SinkReport;
  readonly outage: Outage;
  readonly clock: Clock;
}

/** A file that is being written. */
interface OpenFile {
  readonly draft: FileDraft;
  readonly encoder: FileEncoder;
  /** When its first record came. */
  readonly sinceMs: number;
  firstMs: number;
  lastMs: number;
  bytes: number;
  count: number;
}

export class FileSink implements Sink {
  private readonly stopping = new AbortController();
  private pending: PayloadRecord[] = [];
  private pendingBytes = 0;
  private pendingSinceMs = 0;
  private file: OpenFile | undefined;
  private work: Promise<void> | undefined;
  private closing = false;

  constructor(private readonly options: FileSinkOptions) {}

  get idle(): boolean {
    return this.pending.length === 0 && this.file === undefined && this.work === undefined;
  }

  add(records: readonly PayloadRecord[]): void {
    if (this.pending.length === 0) this.pendingSinceMs = this.options.clock.now();
    for (const record of records) {
      this.pending.push(record);
      this.pendingBytes += recordBytes(record.data.length);
    }
    this.tick();
  }

  tick(): void {
    if (this.work || !(this.blockDue || this.fileDue)) return;
    this.work = this.run().finally(() => {
      this.work = undefined;
      // what came meanwhile may be due already
      if (this.blockDue) this.tick();
    });
  }

  async close(signal: AbortSignal): Promise<void> {
    this.closing = true;
    const abort = () => this.stopping.abort();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    while (!this.idle) {
      this.tick();
      await this.work;
    }
  }

  private get blockDue(): boolean {
    if (this.pending.length === 0) return false;
    const old = this.options.clock.now() - this.pendingSinceMs >= BLOCK_MS;
    return this.closing || old || this.pendingBytes >= BLOCK_BYTES;
  }

  private get fileDue(): boolean {
    if (!this.file) return false;
    const { intervalSec, maxFileBytes } = this.options.settings;
    const old = this.options.clock.now() - this.file.sinceMs >= intervalSec * 1000;
    return this.closing || old || this.file.bytes >= maxFileBytes;
  }

  /** Never rejects. */
  private async run(): Promise<void> {
    if (this.blockDue) await this.writeBlock();
    if (this.fileDue && this.file) {
      const { file } = this;
      this.file = undefined;
      await this.publish(file);
    }
  }

  private async writeBlock(): Promise<void> {
    const { report, outage } = this.options;
    const block = this.pending;
    const { pendingBytes: bytes, pendingSinceMs: sinceMs } = this;
    this.pending = [];
    this.pendingBytes = 0;
    try {
      this.file ??= await this.open(sinceMs);
      const { file } = this;
      const written = file.encoder.append(block);
      await file.draft.append(written);
      file.bytes += written.length;
      file.count += block.length;
      for (const { timeMs } of block) {
        file.firstMs = Math.min(file.firstMs, timeMs);
        file.lastMs = Math.max(file.lastMs, timeMs);
      }
    } catch (error) {
      outage.failed(error);
      report.dropped(block.length, 'sink_failed');
      // its end may be half a block
      await this.abandon('sink_failed');
    }
    report.freed(bytes);
  }

  private async open(sinceMs: number): Promise<OpenFile> {
    const { files, settings } = this.options;
    return {
      draft: await files.create(),
      encoder: FORMATS[settings.format].encoder(),
      sinceMs,
      firstMs: Number.POSITIVE_INFINITY,
      lastMs: 0,
      bytes: 0,
      count: 0,
    };
  }

  private async publish(file: OpenFile): Promise<void> {
    const { place, settings, report, outage, clock } = this.options;
    const { signal } = this.stopping;
    const name = logFileName(place, { ...file, format: settings.format }, randomUUID().slice(0, 8));
    try {
      await file.draft.append(file.encoder.end());
      for (let attempt = 1; ; attempt++) {
        try {
          await file.draft.publish(name);
          break;
        } catch (error) {
          outage.failed(error);
          if (attempt === MAX_ATTEMPTS || signal.aborted) throw error;
          await clock.sleep(retryDelayMs(attempt, Math.random()), signal).catch(() => {});
        }
      }
      outage.worked();
      report.written(file.count);
    } catch (error) {
      outage.failed(error);
      await file.draft.discard().catch(() => {});
      report.dropped(file.count, signal.aborted ? 'stopped' : 'sink_failed');
    }
  }

  private async abandon(reason: DropReason): Promise<void> {
    const { file } = this;
    this.file = undefined;
    if (!file) return;
    await file.draft.discard().catch(() => {});
    if (file.count > 0) this.options.report.dropped(file.count, reason);
  }
}
