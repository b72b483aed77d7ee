/** How gRPC writes values into headers (its "PROTOCOL-HTTP2" description): time-outs, messages, binary values. */
import { AppError } from '../../errors.js';

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The value of `grpc-timeout` in milliseconds. */
export function timeoutMs(value: string): number {
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  const ms = Number(digits) * (UNIT_MS[unit] ?? Number.NaN);
  if (Number.isFinite(ms)) return ms;
  throw new AppError(
    'invalid',
    `grpc-timeout is "${value.slice(0, 40)}", expected up to 8 digits and one of H M S m u n`,
  );
}

/** The bytes of a value whose name ends in `-bin`, with or without padding: of the first, where several were joined. */
export function binaryValue(value: string): Buffer {
  return Buffer.from(value.split(',', 1)[0] ?? '', 'base64');
}

/** Longest `grpc-message` that is sent; clients bound the size of their headers. */
const MAX_MESSAGE_BYTES = 4096;

/** Percent-encodes what `grpc-message` may not hold as it is: all but printable ASCII, and the percent sign. */
export function percentEncode(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message.slice(0, MAX_MESSAGE_BYTES);
  let text = '';
  for (const byte of Buffer.from(message, 'utf8').subarray(0, MAX_MESSAGE_BYTES)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
