/**
 * Messages described as objects of fields, for those that are not worth code of their own: a schema reads bytes into a
 * plain object and writes one. Names are those of the `.proto` file. As proto3 has it, defaults are not written, and what
 * is missing reads as its default.
 */
import { BYTES, ProtoReader, VARINT } from './reader.js';
import { ProtoWriter } from './writer.js';

/** One field: its number, and how its value is read and written. `W` is what may be given to be written. */
export interface Field<T, W = T> {
  readonly id: number;
  readonly initial: T;
  /** Reads one occurrence; `before` is what was read of the field so far. */
  read(from: ProtoReader, before: T): T;
  write(to: ProtoWriter, value: W): void;
}

/** The fields of a message by their names. */
export type Schema = Readonly<Record<string, Field<unknown>>>;

/** The object that a schema reads. */
export type MessageOf<S> = { readonly [K in keyof S]: S[K] extends Field<infer T, infer _> ? T : never };

/** What a schema writes: fields that are left out have their default. */
export type ValuesOf<S> = { readonly [K in keyof S]?: S[K] extends Field<infer _, infer W> ? W : never };

export function readMessage<S extends Schema>(schema: S, message: Buffer): MessageOf<S> {
  return readAll(schema, new ProtoReader(message));
}

export function writeMessage<S extends Schema>(schema: S, values: ValuesOf<S>): Buffer {
  const to = new ProtoWriter();
  writeAll(to, schema, values);
  return to.finish();
}

export function string(id: number): Field<string> {
  return scalar(id, '', BYTES, { read: (from) => from.string(), write: (to, value) => to.string(id, value) });
}

export function bytes(id: number): Field<Buffer> {
  return scalar(id, NOTHING, BYTES, { read: (from) => from.view(), write: (to, value) => to.bytes(id, value) });
}

export function bool(id: number): Field<boolean> {
  return scalar(id, false, VARINT, { read: (from) => from.bool(), write: (to, value) => to.bool(id, value) });
}

/** Also enumerations. */
export function int32(id: number): Field<number> {
  return scalar(id, 0, VARINT, { read: (from) => from.int32(), write: (to, value) => to.int32(id, value) });
}

export function uint32(id: number): Field<number> {
  return scalar(id, 0, VARINT, { read: (from) => from.uint32(), write: (to, value) => to.uint32(id, value) });
}

/** int64 and uint64 that count something: refused beyond 2^53. */
export function count(id: number): Field<number> {
  return scalar(id, 0, VARINT, { read: (from) => from.safeInt64(), write: (to, value) => to.int64(id, value) });
}

/** Repeated int64, packed or not; written packed. */
export function counts(id: number): Field<readonly number[]> {
  const initial: readonly number[] = [];
  return {
    id,
    initial,
    read(from, before) {
      const list = before === initial ? [] : (before as number[]);
      if (from.wire === VARINT) {
        list.push(from.safeInt64());
        return list;
      }
      from.expect(BYTES);
      for (const packed = from.message(); !packed.done; ) list.push(packed.safeInt64());
      return list;
    },
    write: (to, values) => to.packed(id, values.length, (inner, at) => inner.packedInt64(values[at] as number)),
  };
}

/** A field of which it matters whether it is there, as in a `oneof`. */
export function optional<T, W>(field: Field<T, W>): Field<T | undefined, W> {
  return {
    id: field.id,
    initial: undefined,
    read: (from, before) => field.read(from, before ?? field.initial),
    write: (to, value) => field.write(to, value),
  };
}

/** Repeated strings, bytes or messages. */
export function repeated<T, W>(field: Field<T, W>): Field<readonly T[], readonly W[]> {
  const initial: readonly T[] = [];
  return {
    id: field.id,
    initial,
    // one list for all occurrences: a message may have very many
    read(from, before) {
      const list = before === initial ? [] : (before as T[]);
      list.push(field.read(from, field.initial));
      return list;
    },
    write(to, values) {
      for (const value of values) field.write(to, value);
    },
  };
}

export function message<S extends Schema>(id: number, schema: S): Field<MessageOf<S>, ValuesOf<S>> {
  return {
    id,
    initial: readAll(schema, new ProtoReader(NOTHING)),
    read(from, before) {
      from.expect(BYTES);
      return readAll(schema, from.message(), before);
    },
    write: (to, values) => to.nested(id, (inner) => writeAll(inner, schema, values)),
  };
}

/** A map from strings; `value` is field 2 of its entries. */
export function map<T, W>(
  id: number,
  value: Field<T, W>,
): Field<Readonly<Record<string, T>>, Readonly<Record<string, W>>> {
  const entry = { key: string(1), value };
  const initial: Readonly<Record<string, T>> = {};
  return {
    id,
    initial,
    read(from, before) {
      from.expect(BYTES);
      const read = readAll(entry, from.message());
      const all = before === initial ? {} : before;
      // a key may be __proto__, which an assignment would not make a key
      Object.defineProperty(all, read.key, { value: read.value, enumerable: true, configurable: true, writable: true });
      return all;
    },
    write(to, values) {
      for (const [key, one] of Object.entries(values))
        to.nested(id, (inner) => writeAll(inner, entry, { key, value: one }));
    },
  };
}

const NOTHING = Buffer.alloc(0);

function scalar<T>(
  id: number,
  initial: T,
  wire: number,
  how: { read: (from: ProtoReader) => T; write: (to: ProtoWriter, value: T) => void },
): Field<T> {
  return {
    id,
    initial,
    read(from) {
      from.expect(wire);
      return how.read(from);
    },
    write: how.write,
  };
}

function readAll<S extends Schema>(schema: S, from: ProtoReader, before?: MessageOf<S>): MessageOf<S> {
  const fields = Object.entries(schema);
  const values: Record<string, unknown> = before
    ? { ...before }
    : Object.fromEntries(fields.map(([name, { initial }]) => [name, initial]));
  while (from.next()) {
    const [name, field] = fields.find(([, { id }]) => id === from.field) ?? [];
    if (name === undefined || field === undefined) from.skip();
    else values[name] = field.read(from, values[name]);
  }
  return values as MessageOf<S>;
}

function writeAll<S extends Schema>(to: ProtoWriter, schema: S, values: ValuesOf<S>): void {
  for (const [name, field] of Object.entries(schema)) {
    const value = (values as Record<string, unknown>)[name];
    if (value !== undefined && value !== field.initial) field.write(to, value);
  }
}
