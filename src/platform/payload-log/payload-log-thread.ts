/**
 * The gateway's side of its payload log: copies what is recorded and hands it to a thread, many records at a time. Encoding,
 * compression, files and HTTP are the thread's; predictions share their event loop with none of it.
 */
import { Worker } from 'node:worker_threads';
import { Budget, recordBytes } from '../../core/payload-log/budget.js';
import type { KeptRecord, PayloadLog } from '../../core/payload-log/payload-log.js';
import type { Destination, DropReason } from '../../core/payload-log/record.js';
import type { PayloadSink } from '../../core/payload-log/settings.js';
import type { Log } from '../../log.js';
import type { FromThread, Settled, ThreadOptions, ToThread } from './messages.js';

export interface PayloadLogOptions {
  /** The thread's program. */
  readonly script: string;
  readonly thread: ThreadOptions;
  /** Most memory that records take until they are written. */
  readonly bufferBytes: number;
  readonly log: Log;
  onWritten(endpoint: string, count: number): void;
  onDropped(endpoint: string, reason: DropReason, count: number): void;
}

/** Records wait so long for others, unless there are so many bytes of them. */
const HAND_OVER_MS = 20;
const HAND_OVER_BYTES = 512 * 1024;
/** A thread that died is started again no sooner than this after its start. */
const RESTART_MS = 1_000;
/** What a thread may take to end beyond the deadline of its sinks. */
const GRACE_MS = 1_000;

interface Group {
  readonly to: Destination;
  readonly records: KeptRecord[];
}

/** What the thread has and did not settle, of one endpoint. */
interface Outstanding {
  readonly endpoint: string;
  count: number;
  bytes: number;
}

export class PayloadLogThread implements PayloadLog {
  private readonly budget: Budget;
  /** By the settings that they are under, one object for as long as they do not change. */
  private groups = new Map<PayloadSink, Group>();
  private groupBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private worker: Worker | undefined;
  private startedMs = Number.NEGATIVE_INFINITY;
  private readonly outstanding = new Map<string, Outstanding>();
  private closed = false;
  private onStopped: () => void = () => {};

  constructor(private readonly options: PayloadLogOptions) {
    this.budget = new Budget(options.bufferBytes);
  }

  keep(to: Destination, bytes: Uint8Array): Uint8Array | undefined {
    if (!this.budget.take(ownerOf(to), bytes.length)) return undefined;
    // memory of its own, that can be handed over; a view would hold a whole chunk of a socket
    const copy = Buffer.allocUnsafeSlow(bytes.length);
    copy.set(bytes);
    return copy;
  }

  add(to: Destination, record: KeptRecord): void {
    const refused = this.closed ? 'stopped' : this.budget.take(ownerOf(to), recordBytes(0)) ? undefined : 'buffer_full';
    if (refused) {
      this.drop(to, record.pieces, refused);
      return;
    }
    let group = this.groups.get(to.sink);
    if (!group) {
      group = { to, records: [] };
      this.groups.set(to.sink, group);
    }
    group.records.push(record);
    this.groupBytes += bytesOf(record.pieces);
    if (this.groupBytes >= HAND_OVER_BYTES) this.handOver();
    else this.timer ??= setTimeout(this.handOver, HAND_OVER_MS);
  }

  drop(to: Destination, pieces: readonly Uint8Array[], reason?: DropReason): void {
    this.budget.give(ownerOf(to), bytesOf(pieces));
    if (reason !== undefined) this.options.onDropped(to.endpoint, reason, 1);
  }

  /** Has the thread write what there is, at most so long, and ends it. */
  async close(deadlineMs: number): Promise<void> {
    this.closed = true;
    this.handOver();
    const { worker } = this;
    if (worker) {
      const stopped = new Promise<void>((resolve) => {
        this.onStopped = resolve;
      });
      const late = setTimeout(this.onStopped, deadlineMs + GRACE_MS);
      this.post(worker, { kind: 'stop', deadlineMs });
      await stopped;
      clearTimeout(late);
      this.worker = undefined;
      await worker.terminate();
    }
    this.giveUpOutstanding('stopped');
  }

  private readonly handOver = (): void => {
    clearTimeout(this.timer);
    this.timer = undefined;
    const groups = [...this.groups.values()];
    this.groups = new Map();
    this.groupBytes = 0;
    if (groups.length === 0) return;
    const memory: ArrayBuffer[] = [];
    for (const { to, records } of groups) {
      const owed = this.outstandingOf(to);
      for (const { pieces } of records) {
        owed.count++;
        owed.bytes += recordBytes(bytesOf(pieces));
        for (const piece of pieces) memory.push(piece.buffer as ArrayBuffer);
      }
    }
    const worker = this.worker ?? this.start();
    if (worker) this.post(worker, { kind: 'records', groups }, memory);
    else this.giveUpOutstanding('sink_failed');
  };

  private post(worker: Worker, message: ToThread, memory: readonly ArrayBuffer[] = []): void {
    worker.postMessage(message, memory);
  }

  private start(): Worker | undefined {
    const now = performance.now();
    if (now - this.startedMs < RESTART_MS) return undefined;
    this.startedMs = now;
    const worker = new Worker(this.options.script, { workerData: this.options.thread });
    const died = (error: unknown) => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      this.options.log.error('the payload log lost its thread', { error });
      this.giveUpOutstanding('sink_failed');
      this.onStopped();
    };
    worker.on('message', (message: FromThread) => {
      if (message.kind === 'stopped') this.onStopped();
      else for (const settled of message.settled) this.settle(settled);
    });
    worker.on('error', died);
    worker.on('exit', (code) => died(`it ended with code ${code}`));
    this.worker = worker;
    return worker;
  }

  private settle({ project, endpoint, freedBytes, written, dropped }: Settled): void {
    const owner = ownerOf({ project, endpoint });
    const owed = this.outstanding.get(owner);
    this.budget.give(owner, freedBytes);
    if (written > 0) this.options.onWritten(endpoint, written);
    let count = written;
    for (const [reason, many] of Object.entries(dropped) as [DropReason, number][]) {
      this.options.onDropped(endpoint, reason, many);
      count += many;
    }
    if (!owed) return;
    owed.count -= count;
    owed.bytes -= freedBytes;
    if (owed.count === 0 && owed.bytes === 0) this.outstanding.delete(owner);
  }

  private outstandingOf(to: Destination): Outstanding {
    const owner = ownerOf(to);
    let owed = this.outstanding.get(owner);
    if (!owed) {
      owed = { endpoint: to.endpoint, count: 0, bytes: 0 };
      this.outstanding.set(owner, owed);
    }
    return owed;
  }

  /** What the thread had is lost. */
  private giveUpOutstanding(reason: DropReason): void {
    for (const [owner, { endpoint, count, bytes }] of this.outstanding) {
      this.budget.give(owner, bytes);
      if (count > 0) this.options.onDropped(endpoint, reason, count);
    }
    this.outstanding.clear();
  }
}

function ownerOf({ project, endpoint }: Pick<Destination, 'project' | 'endpoint'>): string {
  return `${project}/${endpoint}`;
}

function bytesOf(pieces: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}
