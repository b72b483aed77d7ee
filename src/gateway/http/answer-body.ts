import { createDeflate, createGzip } from 'node:zlib';
import type { Coding } from './content-coding.js';
import { type HttpExchange, nothing } from './exchange.js';

/** The body of an answer that goes out piece by piece. */
export interface AnswerBody {
  /** False when the line is full: `onDrain` is then called once it is not. */
  send(chunk: Buffer): boolean;
  finish(): void;
  onDrain: () => void;
}

/** The exchange's own body, packed on its way when a coding is given. */
export function answerBody(exchange: HttpExchange, coding: Coding | undefined): AnswerBody {
  if (coding === undefined) return exchange;
  const packer = coding === 'gzip' ? createGzip({ level: 1 }) : createDeflate({ level: 1 });
  const body: AnswerBody = {
    send: (chunk) => packer.write(chunk),
    finish: () => void packer.end(),
    onDrain: nothing,
  };
  packer.on('data', (chunk: Buffer) => {
    if (!exchange.send(chunk)) packer.pause();
  });
  packer.on('end', () => exchange.finish());
  packer.on('error', () => exchange.abort());
  packer.on('drain', () => body.onDrain());
  exchange.onDrain = () => void packer.resume();
  return body;
}
