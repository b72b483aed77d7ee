/**
 * Reading HPACK's Huffman code (RFC 7541, section 5.2 and appendix B). The code is canonical, so that the length of each
 * symbol's code is all that has to be known. The tree is turned into a table once: four bits at a time, each state says
 * what symbol came out, if one did, and what state is next.
 */
import { CODE, Http2Error } from './codes.js';

/** Bits of the code of each byte value, in their order; the end-of-string symbol follows with 30. */
const CODE_BITS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const END_OF_STRING = 256;
const MAX_BITS = 30;
/** No symbol came out of these four bits; no code is shorter than five, so more than one never does. */
const NONE = -1;
/** These four bits complete the end-of-string symbol, which no string may hold. */
const FORBIDDEN = -2;

/** By state * 16 + the next four bits. State 0 is the root. */
const nextState = new Uint8Array(256 * 16);
const symbolOut = new Int16Array(256 * 16);
/** States in which a string may end: what was read of the next code is at most 7 bits, all ones. */
const mayEnd = new Uint8Array(256);
buildTables();

function buildTables(): void {
  // children[2 * node + bit]: a node's number, or -1 - symbol; there are 256 inner nodes
  const children = new Int16Array(512);
  let nodes = 1;
  let code = 0;
  for (let bits = 1; bits <= MAX_BITS; bits++, code *= 2) {
    for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
      if (CODE_BITS[symbol] !== bits) continue;
      let node = 0;
      for (let bit = bits - 1; bit > 0; bit--) {
        const slot = 2 * node + ((code >>> bit) & 1);
        if (children[slot] === 0) children[slot] = nodes++;
        node = children[slot] as number;
      }
      children[2 * node + (code & 1)] = -1 - symbol;
      code++;
    }
  }
  for (let state = 0; state < 256; state++) {
    for (let four = 0; four < 16; four++) {
      let node = state;
      let out = NONE;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[2 * node + ((four >>> bit) & 1)] as number;
        node = Math.max(child, 0);
        if (child < 0) out = child === -1 - END_OF_STRING ? FORBIDDEN : -1 - child;
      }
      nextState[state * 16 + four] = node;
      symbolOut[state * 16 + four] = out;
    }
  }
  for (let bits = 0, node = 0; bits <= 7; bits++, node = children[2 * node + 1] as number) mayEnd[node] = 1;
}

let scratch = Buffer.allocUnsafeSlow(256);

/** The string whose code lies in `bytes` from `start` to `end`, each byte as one character; throws on what is no code. */
export function huffmanText(bytes: Buffer, start: number, end: number): string {
  // the shortest code has five bits
  const most = Math.ceil(((end - start) * 8) / 5);
  if (most > scratch.length) scratch = Buffer.allocUnsafeSlow(most);
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    for (let shift = 4; shift >= 0; shift -= 4) {
      const step = state * 16 + ((byte >>> shift) & 15);
      const out = symbolOut[step] as number;
      if (out >= 0) scratch[length++] = out;
      else if (out === FORBIDDEN) throw malformed('the end-of-string symbol');
      state = nextState[step] as number;
    }
  }
  if (mayEnd[state] !== 1) throw malformed('a string that ends within a code');
  return scratch.toString('latin1', 0, length);
}

function malformed(problem: string): Http2Error {
  return new Http2Error(CODE.COMPRESSION_ERROR, `Huffman code with ${problem}`);
}
