/**
 * What two infer requests must have in common to be given the same answer, as one short text: SHA-256 over a framing in
 * which every part says its length, so that different requests are different bytes. SHA-256 rather than a faster hash,
 * because whoever could make two requests collide would choose another client's answer; processors compute it at about
 * 2 GB/s.
 */
import { createHash, hash } from 'node:crypto';
import type { InferRequest, Parameters, RequestedOutput } from '../../../protocol/infer.js';
import { type Tensor, tensorToBytes } from '../../../protocol/tensor.js';

/** The framing's own version: another one gives other keys. */
const VERSION = 1;
/** Requests up to this size are hashed in one piece. */
const ONE_PIECE_BYTES = 64 * 1024;

/** Parameters that say how an answer travels, and nothing of what it is. */
const OF_THE_WIRE: ReadonlySet<string> = new Set(['binary_data_output', 'binary_data']);
/** Parameters that make an answer depend on the requests before it. */
const STATEFUL = ['sequence_id', 'sequence_start', 'sequence_end'];

/**
 * The key of a request: 43 characters. Its id and the way its answer goes back are not part of it; the order of its inputs
 * and of the outputs it asks for is. Undefined for a request whose answer depends on others.
 */
export function requestKey(request: InferRequest): string | undefined {
  if (STATEFUL.some((name) => request.parameters[name] !== undefined)) return undefined;
  const { parameters, outputs, inputs } = request;
  const bodies = inputs.map(tensorToBytes);
  framing.reset();
  framing.byte(VERSION);
  writeParameters(parameters);
  writeOutputs(outputs);
  framing.count(inputs.length);
  let bodyBytes = 0;
  for (const [at, tensor] of inputs.entries()) {
    const { length } = bodies[at] as Buffer;
    writeTensorHead(tensor, length);
    bodyBytes += length;
  }
  if (framing.length + bodyBytes <= ONE_PIECE_BYTES) {
    for (const body of bodies) framing.bytes(body);
    return hash('sha256', framing.view(), 'base64url');
  }
  const whole = createHash('sha256').update(framing.view());
  for (const body of bodies) whole.update(body);
  return whole.digest('base64url');
}

function writeOutputs(outputs: readonly RequestedOutput[] | undefined): void {
  // none named means all, which is not the same as a list of none
  framing.byte(outputs === undefined ? 0 : 1);
  framing.count(outputs?.length ?? 0);
  for (const { name, parameters } of outputs ?? []) {
    framing.text(name);
    writeParameters(parameters);
  }
}

function writeTensorHead({ name, datatype, shape }: Tensor, bytes: number): void {
  framing.text(name);
  framing.text(datatype);
  framing.count(shape.length);
  for (const size of shape) framing.double(size);
  framing.double(bytes);
}

function writeParameters(parameters: Parameters): void {
  const names = Object.keys(parameters).filter((name) => parameters[name] !== undefined && !OF_THE_WIRE.has(name));
  framing.count(names.length);
  for (const name of names.sort()) {
    framing.text(name);
    writeValue(parameters[name]);
  }
}

/** A value with its kind, so that "1", 1 and true differ. */
function writeValue(value: unknown): void {
  if (typeof value === 'string') framing.byte(1).text(value);
  else if (typeof value === 'number') framing.byte(2).double(value);
  else if (typeof value === 'bigint') framing.byte(3).text(String(value));
  else if (typeof value === 'boolean') framing.byte(value ? 4 : 5);
  else if (Array.isArray(value)) {
    framing.byte(6).count(value.length);
    for (const item of value) writeValue(item);
  } else if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    framing.byte(7).count(entries.length);
    for (const [name, item] of entries) {
      framing.text(name);
      writeValue(item);
    }
  } else framing.byte(0);
}

/** Bytes that are put together in memory which is used again. */
class Framing {
  private buffer = Buffer.allocUnsafe(ONE_PIECE_BYTES);
  private at = 0;

  get length(): number {
    return this.at;
  }

  reset(): void {
    this.at = 0;
    // one huge request does not keep its memory for good
    if (this.buffer.length > 16 * ONE_PIECE_BYTES) this.buffer = Buffer.allocUnsafe(ONE_PIECE_BYTES);
  }

  byte(value: number): this {
    this.room(1);
    this.buffer[this.at++] = value;
    return this;
  }

  count(value: number): void {
    this.room(4);
    this.at = this.buffer.writeUInt32LE(value, this.at);
  }

  double(value: number): void {
    this.room(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  text(value: string): void {
    const most = value.length * 3;
    this.room(4 + most);
    const length = this.buffer.write(value, this.at + 4, 'utf8');
    this.buffer.writeUInt32LE(length, this.at);
    this.at += 4 + length;
  }

  bytes(value: Uint8Array): void {
    this.room(value.length);
    this.buffer.set(value, this.at);
    this.at += value.length;
  }

  /** What was written; good until it is reset. */
  view(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes));
    larger.set(this.view());
    this.buffer = larger;
  }
}

/** A key is made in one go, so one serves all. */
const framing = new Framing();
