import { createDeflate, createGzip } from 'node:zlib';
import type { Coding } from './content-coding.js';
import type { HttpExchange } from './exchange.js';

/** The body of an answer that goes out piece by piece. */
export interface AnswerBody {
  /** False when the line is full: `onDrain` is then called once it is not. */
  send(chunk: Buffer): boolean;
  finish(): void;
  /** To be told when the exchange's line takes more. */
  drained(): void;
}

/** The exchange's own body, packed on its way when a coding is given. `onDrain`: after `send` said false, once more fits. */
export function answerBody(exchange: HttpExchange, coding: Coding | undefined, onDrain: () => void): AnswerBody {
  if (coding === undefined) {
    return { send: (chunk) => exchange.send(chunk), finish: () => exchange.finish(), drained: onDrain };
  }
  const packer = coding === 'gzip' ? createGzip({ level: 1 }) : createDeflate({ level: 1 });
  packer.on('data', (chunk: Buffer) => {
    if (!exchange.send(chunk)) packer.pause();
  });
  packer.on('end', () => exchange.finish());
  packer.on('error', () => exchange.abort());
  packer.on('drain', onDrain);
  return {
    send: (chunk) => packer.write(chunk),
    finish: () => void packer.end(),
    drained: () => void packer.resume(),
  };
}
