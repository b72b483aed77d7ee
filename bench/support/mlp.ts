/** ONNX models of any size, written byte by byte: a network of dense layers, X float32 [batch, 64] to 10 classes. */

const FLOAT = 1;
const INT64 = 7;
const INPUTS = 64;
const CLASSES = 10;

/** A model with these hidden layers; its weights are a fixed sequence, so the bytes are the same each time. */
export function mlp(hidden: readonly number[]): Buffer {
  const sizes = [INPUTS, ...hidden, CLASSES];
  const nodes: Buffer[] = [];
  const weights: Buffer[] = [];
  let from = 'X';
  for (let layer = 1; layer < sizes.length; layer++) {
    const [rows = 0, columns = 0] = [sizes[layer - 1], sizes[layer]];
    weights.push(tensor(`w${layer}`, [rows, columns]), tensor(`b${layer}`, [columns]));
    nodes.push(node('Gemm', [from, `w${layer}`, `b${layer}`], `h${layer}`));
    from = `h${layer}`;
    if (layer === sizes.length - 1) break;
    nodes.push(node('Relu', [from], `r${layer}`));
    from = `r${layer}`;
  }
  nodes.push(node('Softmax', [from], 'probabilities', [attribute('axis', 1)]));
  nodes.push(node('ArgMax', [from], 'label', [attribute('axis', 1), attribute('keepdims', 0)]));
  const graph = message([
    ...nodes.map((bytes) => field(1, bytes)),
    field(2, text('mlp')),
    ...weights.map((bytes) => field(5, bytes)),
    field(11, valueInfo('X', FLOAT, ['batch', INPUTS])),
    field(12, valueInfo('label', INT64, ['batch'])),
    field(12, valueInfo('probabilities', FLOAT, ['batch', CLASSES])),
  ]);
  // IR version 8, operator set 17
  return message([number(1, 8), field(7, graph), field(8, message([field(1, text('')), number(2, 17)]))]);
}

/**
 * A deep and narrow model, whose time goes into starting some 4,000 small operations: about a millisecond for one row and
 * hardly more for 32, as with many models on accelerators.
 */
export function deepMlp(): Buffer {
  return mlp(Array.from({ length: 2048 }, () => 16));
}

function node(kind: string, inputs: readonly string[], output: string, attributes: readonly Buffer[] = []): Buffer {
  return message([
    ...inputs.map((name) => field(1, text(name))),
    field(2, text(output)),
    field(4, text(kind)),
    ...attributes.map((bytes) => field(5, bytes)),
  ]);
}

/** An attribute of kind INT. */
function attribute(name: string, value: number): Buffer {
  return message([field(1, text(name)), number(3, value), number(20, 2)]);
}

function tensor(name: string, shape: readonly number[]): Buffer {
  const count = shape.reduce((product, size) => product * size, 1);
  const data = new Float32Array(count);
  const scale = 2 / Math.sqrt(shape[0] ?? 1);
  for (let at = 0, state = 1; at < count; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[at] = (state / 2 ** 32 - 0.5) * scale;
  }
  return message([
    ...shape.map((size) => number(1, size)),
    number(2, FLOAT),
    field(8, text(name)),
    field(9, Buffer.from(data.buffer)),
  ]);
}

function valueInfo(name: string, type: number, shape: readonly (string | number)[]): Buffer {
  const dimensions = shape.map((size) => field(1, typeof size === 'number' ? number(1, size) : field(2, text(size))));
  const tensorType = message([number(1, type), field(2, message(dimensions))]);
  return message([field(1, text(name)), field(2, field(1, tensorType))]);
}

// the three forms of protobuf that ONNX needs: a length-delimited field, a number, a message of fields

function field(id: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((id << 3) | 2), varint(bytes.length), bytes]);
}

function number(id: number, value: number): Buffer {
  return Buffer.concat([varint(id << 3), varint(value)]);
}

function message(fields: readonly Buffer[]): Buffer {
  return Buffer.concat(fields);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'utf8');
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) | 0x80);
    left = Math.floor(left / 0x80);
  }
  bytes.push(left);
  return Buffer.from(bytes);
}
