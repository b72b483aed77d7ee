/** `InferParameter` and the maps of it that requests, inputs and outputs carry. */
import { AppError } from '../../errors.js';
import type { Parameters } from '../infer.js';
import { BYTES, FIXED64, type ProtoReader, VARINT } from '../protobuf/reader.js';
import type { ProtoWriter } from '../protobuf/writer.js';

type Value = boolean | number | bigint | string | undefined;

/** One entry of a map that is being read, as `[name, value]`. 64-bit integers beyond 2^53 come as bigint. */
export function readParameter(entry: ProtoReader): [name: string, value: Value] {
  let name = '';
  let value: Value;
  while (entry.next()) {
    if (entry.field > 2) {
      entry.skip();
      continue;
    }
    entry.expect(BYTES);
    if (entry.field === 1) name = entry.string();
    else value = readChoice(entry.message(), value);
  }
  return [name, value];
}

/** Entries as an object; of two with the same name the later one counts, as protobuf has it. */
export function parametersOf(entries: readonly [name: string, value: Value][]): Parameters {
  return entries.length === 0 ? NO_PARAMETERS : Object.fromEntries(entries);
}

/** Writes a map into field `field`. Whole numbers go as int64 (beyond it as uint64), others as double. */
export function writeParameters(to: ProtoWriter, field: number, parameters: Parameters): void {
  for (const [name, value] of Object.entries(parameters)) {
    to.nested(field, (entry) => {
      entry.string(1, name);
      entry.nested(2, (choice) => writeChoice(choice, name, value));
    });
  }
}

const NO_PARAMETERS: Parameters = Object.freeze({});

function readChoice(reader: ProtoReader, before: Value): Value {
  let value = before;
  while (reader.next()) {
    if (reader.field > 5) {
      reader.skip();
      continue;
    }
    reader.expect(WIRES[reader.field] as number);
    if (reader.field === 1) value = reader.bool();
    else if (reader.field === 2) value = exact(reader.int64());
    else if (reader.field === 3) value = reader.string();
    else if (reader.field === 4) value = reader.double();
    else value = exact(reader.uint64());
  }
  return value;
}

const WIRES = [VARINT, VARINT, VARINT, BYTES, FIXED64, VARINT];

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function writeChoice(to: ProtoWriter, name: string, value: unknown): void {
  if (typeof value === 'boolean') to.bool(1, value);
  else if (typeof value === 'string') to.string(3, value);
  else if (typeof value === 'bigint') to.int64(value < 2n ** 63n ? 2 : 5, value);
  else if (typeof value === 'number' && Number.isSafeInteger(value)) to.int64(2, value);
  else if (typeof value === 'number') to.double(4, value);
  else if (value !== undefined) {
    const kind = Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
    throw new AppError('invalid', `parameter "${name}" is ${kind}, gRPC carries booleans, numbers and strings`);
  }
}
