import { AppError, messageOf } from '../../errors.js';
import type { TensorSpec } from '../../protocol/signature.js';
import { type Tensor, tensorFromBytes, tensorToBytes } from '../../protocol/tensor.js';

/** A tensor of a message: its bytes follow the head, in the order of the specs, each beginning at a multiple of 8. */
interface TensorPart extends TensorSpec {
  readonly bytes: number;
}

/** What the runtime asks of a worker; one thing at a time. */
export type Request =
  | { readonly kind: 'load'; readonly path: string; readonly threads: number }
  | { readonly kind: 'predict' | 'explain'; readonly outputs: readonly string[] | null };

/** What a worker found out about its model at load. */
export interface LoadedReply {
  readonly kind: 'loaded';
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly open: boolean;
  readonly batchable: boolean;
  readonly device: string;
  readonly notes: readonly string[];
}

/** What a worker answers. */
export type Reply =
  | LoadedReply
  | { readonly kind: 'result'; readonly outputs: readonly Tensor[] }
  | {
      readonly kind: 'failed';
      readonly code: 'invalid' | 'unsupported' | 'internal';
      readonly message: string;
      readonly traceback: string;
    };

/** u32 bytes of the head, u64 bytes of the body; little-endian. `worker/sluice_worker/channel.py` is the other side. */
const PREFIX_BYTES = 12;
const ALIGNMENT = 8;
const PADDING = Buffer.alloc(ALIGNMENT);

/** A message as the pieces to write, without copying the tensors. */
export function printRequest(request: Request, inputs: readonly Tensor[]): Buffer[] {
  const parts: TensorPart[] = [];
  const body: Buffer[] = [];
  let bodyBytes = 0;
  for (const { name, datatype, shape, ...input } of inputs) {
    const bytes = tensorToBytes({ name, datatype, shape, ...input } as Tensor);
    parts.push({ name, datatype, shape, bytes: bytes.length });
    body.push(bytes, PADDING.subarray(0, padding(bytes.length)));
    bodyBytes += bytes.length + padding(bytes.length);
  }
  const head = JSON.stringify(request.kind === 'load' ? request : { ...request, inputs: parts });
  const headBytes = Buffer.byteLength(head);
  const first = Buffer.allocUnsafe(PREFIX_BYTES + headBytes);
  first.writeUInt32LE(headBytes, 0);
  first.writeBigUInt64LE(BigInt(bodyBytes), 4);
  first.write(head, PREFIX_BYTES);
  return [first, ...body.filter((piece) => piece.length > 0)];
}

/** Puts the replies together from what the channel brings. */
export class ReplyReader {
  private prefix: { headBytes: number; bodyBytes: number } | undefined;
  private chunks: Buffer[] = [];
  private held = 0;

  constructor(private readonly onReply: (reply: Reply) => void) {}

  /** Throws `internal` when the bytes are no message. */
  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.held += chunk.length;
    for (;;) {
      if (!this.prefix) {
        const prefix = this.take(PREFIX_BYTES);
        if (!prefix) return;
        this.prefix = { headBytes: prefix.readUInt32LE(0), bodyBytes: Number(prefix.readBigUInt64LE(4)) };
      }
      const { headBytes, bodyBytes } = this.prefix;
      const message = this.take(headBytes + bodyBytes);
      if (!message) return;
      this.prefix = undefined;
      this.onReply(parseReply(message.subarray(0, headBytes), message.subarray(headBytes)));
    }
  }

  private take(bytes: number): Buffer | undefined {
    if (this.held < bytes) return undefined;
    const all = this.chunks.length === 1 ? (this.chunks[0] as Buffer) : Buffer.concat(this.chunks, this.held);
    this.held -= bytes;
    this.chunks = this.held > 0 ? [all.subarray(bytes)] : [];
    return all.subarray(0, bytes);
  }
}

function parseReply(head: Buffer, body: Buffer): Reply {
  let reply: { readonly kind: string; readonly outputs?: readonly TensorPart[] };
  try {
    reply = JSON.parse(head.toString('utf8'));
  } catch (error) {
    throw new AppError('internal', `the worker sent what is no message: ${messageOf(error)}`);
  }
  if (reply.kind !== 'result') return reply as Reply;
  let at = 0;
  const outputs = (reply.outputs ?? []).map(({ name, datatype, shape, bytes }) => {
    const tensor = tensorFromBytes(name, datatype, shape, body.subarray(at, at + bytes));
    at += bytes + padding(bytes);
    return tensor;
  });
  return { kind: 'result', outputs };
}

function padding(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;
}
