import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../../tests/support/random.js';
import { DATATYPES, type Datatype } from '../../protocol/datatypes.js';
import type { Signature } from '../../protocol/signature.js';
import { makeTensor, type Tensor, tensorFromBytes, tensorToBytes } from '../../protocol/tensor.js';
import type { Part, PartLimits, RandomAccess, TableFormat } from './format.js';
import { type ColumnMapping, layoutOf } from './layout.js';
import { npyElements, npyHeader } from './npy.js';
import { columnsOf, type Segment } from './outputs.js';
import { openTable } from './read.js';
import type { DecodedRows } from './rows.js';
import { encodePart, joinParts } from './write.js';

const file = (bytes: Buffer | string): RandomAccess => {
  const all = Buffer.from(bytes as string);
  return { bytes: all.length, read: async (start, stop) => all.subarray(start, stop) };
};

const one = (datatype: Datatype, shape: readonly number[], name = 'x'): Signature => ({
  inputs: [{ name, datatype, shape }],
  outputs: [],
});

interface Given {
  readonly format: TableFormat;
  readonly bytes: Buffer | string;
  readonly signature: Signature;
  readonly mapping?: ColumnMapping;
  readonly limits?: PartLimits;
}

async function readAll({ format, bytes, signature, mapping = {}, limits = { rows: 3, bytes: 1e6 } }: Given) {
  const table = await openTable(format, file(bytes));
  const layout = layoutOf(signature, mapping, table.columns);
  const parts: Part[] = [];
  for await (const part of table.cut(layout, limits)) parts.push(part);
  const read = table.rows(layout);
  const decoded: DecodedRows[] = [];
  for (const part of parts) decoded.push(await read(part));
  return { parts, decoded, layout };
}

/** Rows as [values of each input], or what is wrong with them and where. */
async function rowsOf(given: Given): Promise<unknown[]> {
  const { decoded } = await readAll(given);
  return decoded.flatMap((part) => {
    const rows: unknown[] = [];
    for (const { first, rows: count, tensors } of part.runs) {
      for (let row = 0; row < count; row++) rows[first + row] = tensors.map((tensor) => rowValue(tensor, row));
    }
    for (const { row, message } of part.bad) rows[row] = `${part.lineOf(row)}: ${message}`;
    expect(rows.length).toBe(part.rows);
    return rows;
  });
}

function rowValue({ datatype, shape, data }: Tensor, row: number): unknown {
  const each = data.length / (shape[0] ?? 1);
  const elements = Array.from(data.slice(row * each, (row + 1) * each) as ArrayLike<unknown>);
  const values = datatype === 'BYTES' ? elements.map(String) : elements;
  return shape.length === 1 ? values[0] : values;
}

describe('JSON Lines', () => {
  it('reads objects by input, with nested arrays, 64-bit integers and NaN', async () => {
    const signature: Signature = {
      inputs: [
        { name: 'id', datatype: 'INT64', shape: [-1] },
        { name: 'x', datatype: 'FP32', shape: [-1, 2] },
        { name: 's', datatype: 'BYTES', shape: [-1] },
      ],
      outputs: [],
    };
    const bytes = [
      '{"id": 9007199254740993, "x": [1, 2.5], "s": "a\\"ü"}',
      '',
      '{"x": [null, "Infinity"], "s": "", "id": "-5", "more": 1}\r',
      '{"id": 1, "x": [NaN, -Infinity], "s": "c"}',
    ].join('\n');
    expect(await rowsOf({ format: 'jsonl', bytes, signature })).toEqual([
      [9007199254740993n, [1, 2.5], 'a"ü'],
      [-5n, [Number.NaN, Number.POSITIVE_INFINITY], ''],
      [1n, [Number.NaN, Number.NEGATIVE_INFINITY], 'c'],
    ]);
  });

  it('reads bare values for a model of one input', async () => {
    expect(await rowsOf({ format: 'jsonl', bytes: '[1,2]\n[3,4]\n', signature: one('FP64', [-1, 2]) })).toEqual([
      [[1, 2]],
      [[3, 4]],
    ]);
    expect(await rowsOf({ format: 'jsonl', bytes: '1\n2', signature: one('INT32', [-1]) })).toEqual([[1], [2]]);
    // one value fills [1], a flat row fills its dimensions
    expect(await rowsOf({ format: 'jsonl', bytes: '1\n', signature: one('INT32', [-1, 1]) })).toEqual([[[1]]]);
    expect(await rowsOf({ format: 'jsonl', bytes: '[1,2,3,4]', signature: one('INT32', [-1, 2, 2]) })).toEqual([
      [[1, 2, 3, 4]],
    ]);
  });

  it.each([
    { why: 'cut off', line: '{"x": [1', says: 'it is not JSON: it ends where' },
    { why: 'a stray sign', line: '{"x" 1}', says: 'it is not JSON' },
    { why: 'no such field', line: '{"y": 1}', says: 'there is no "x"' },
    { why: 'another type', line: '{"x": ["a", 2]}', says: 'input "x": at element 0 it is "a", expected a number' },
    { why: 'too few', line: '{"x": [1]}', says: 'input "x" takes [2] a row, it is [1]' },
    { why: 'ragged', line: '{"x": [[1], 2]}', says: 'ragged' },
    { why: 'too large', line: '{"x": [1e39, 2]}', says: 'it is 1e+39, expected a number within FP32' },
  ])('says what is wrong with a row: $why', async ({ line, says }) => {
    const bytes = `{"x":[1,2]}\n\n${line}\n{"x":[3,4]}`;
    const rows = await rowsOf({ format: 'jsonl', bytes, signature: one('FP32', [-1, 2]) });
    expect(rows).toEqual([[[1, 2]], expect.stringMatching(/^3: /), [[3, 4]]]);
    expect(rows[1]).toContain(says);
  });

  it('says when a row is not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from('"a"\n"'), Buffer.from([0xff]), Buffer.from('"\n"\ufffd"')]);
    expect(await rowsOf({ format: 'jsonl', bytes, signature: one('BYTES', [-1]) })).toEqual([
      ['a'],
      '2: it is not UTF-8',
      ['\ufffd'],
    ]);
  });

  it('puts rows of one shape together', async () => {
    const bytes = '[1]\n[2]\n[1,2]\n[3]\n';
    const { decoded } = await readAll({
      format: 'jsonl',
      bytes,
      signature: one('INT32', [-1, -1]),
      limits: { rows: 10, bytes: 1000 },
    });
    expect(decoded[0]?.runs.map((run) => [run.first, run.tensors[0]?.shape])).toEqual([
      [0, [2, 1]],
      [2, [1, 2]],
      [3, [1, 1]],
    ]);
  });
});

describe('CSV', () => {
  const signature: Signature = {
    inputs: [
      { name: 'id', datatype: 'UINT64', shape: [-1] },
      { name: 'text', datatype: 'BYTES', shape: [-1] },
      { name: 'ok', datatype: 'BOOL', shape: [-1] },
    ],
    outputs: [],
  };

  it('reads columns by name, quoted fields with line breaks, either line end, a byte order mark', async () => {
    const bytes = '\ufeffok,id,text,more\r\ntrue,18446744073709551615,"a, ""b""\nc",x\r\n\r\n0,2,,y';
    expect(await rowsOf({ format: 'csv', bytes, signature })).toEqual([
      [18446744073709551615n, 'a, "b"\nc', 1],
      [2n, '', 0],
    ]);
  });

  it('says what is wrong with a row, and where it begins', async () => {
    const bytes = 'id,text,ok\n1,"a\nb",true\n1,2\n-1,x,true\n1,a"b"c,true\n1,"x"y,false\n2,z,maybe\n3,"",1\n';
    expect(await rowsOf({ format: 'csv', bytes, signature })).toEqual([
      [1n, 'a\nb', 1],
      '4: it has 2 fields, the first line names 3',
      '5: input "id": it is -1, expected an integer within UINT64',
      expect.stringMatching(/^6: field 2: a quote within/),
      expect.stringMatching(/^7: field 2: "y,false" behind a closing quote/),
      '8: input "ok": it is "maybe", expected true or false',
      [3n, '', 1],
    ]);
  });

  it('takes all columns of numbers for a model of one input, in order', async () => {
    const bytes = 'name,a,b,c\nx,1,,true\ny,nan,-Inf,FALSE\n';
    expect(await rowsOf({ format: 'csv', bytes, signature: one('FP32', [-1, 3]) })).toEqual([
      [[1, Number.NaN, 1]],
      [[Number.NaN, Number.NEGATIVE_INFINITY, 0]],
    ]);
    const mapping = { x: ['c', 'a'] };
    expect(await rowsOf({ format: 'csv', bytes, signature: one('FP32', [-1, 2]), mapping })).toEqual([
      [[1, 1]],
      [[0, Number.NaN]],
    ]);
    await expect(rowsOf({ format: 'csv', bytes, signature: one('FP32', [-1, 2]) })).rejects.toThrow(
      'input "x" takes 2 values a row; 3 columns were found for it: a, b, c',
    );
    await expect(rowsOf({ format: 'csv', bytes, signature, mapping: { id: 'd' } })).rejects.toThrow(
      'from column "d"; the file has "name", "a", "b", "c"',
    );
  });

  it('refuses a file without names, and a quote that is never closed', async () => {
    await expect(rowsOf({ format: 'csv', bytes: '\n', signature })).rejects.toThrow('no line of column names');
    await expect(rowsOf({ format: 'csv', bytes: 'id,text,ok\n1,"a,true\n', signature })).rejects.toThrow(
      'line 2: a quote is never closed',
    );
  });
});

describe('npy', () => {
  const npy = (datatype: Datatype, rows: number, shape: readonly number[], data: unknown) => {
    const tensor = makeTensor('x', datatype, [rows, ...shape], data);
    return Buffer.concat([npyHeader({ name: 'x', datatype, shape, flat: false }, rows), npyElements(tensor)]);
  };

  it('reads what it writes, and converts where only precision is lost', async () => {
    const bytes = npy('FP64', 4, [2], Float64Array.of(1, 2, 3, 4, 5, 6, 7, Number.NaN));
    expect(await rowsOf({ format: 'npy', bytes, signature: one('FP32', [-1, 2]) })).toEqual([
      [[1, 2]],
      [[3, 4]],
      [[5, 6]],
      [[7, Number.NaN]],
    ]);
    await expect(rowsOf({ format: 'npy', bytes, signature: one('INT32', [-1, 2]) })).rejects.toThrow(
      'element 1: it is NaN, expected an integer within INT32',
    );
    await expect(rowsOf({ format: 'npy', bytes, signature: one('FP32', [-1, 3]) })).rejects.toThrow(
      'takes [3] a row, the array has [2]',
    );
  });

  it('reads text of either kind', async () => {
    const head = (descr: string) =>
      Buffer.concat([
        Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
        Buffer.from([0x46, 0]),
        Buffer.from(`{'descr': '${descr}', 'fortran_order': False, 'shape': (2,), }`.padEnd(69)),
        Buffer.from('\n'),
      ]);
    const wide = Buffer.from(Uint32Array.of(0x61, 0x1f600, 0x62, 0).buffer);
    const signature = one('BYTES', [-1]);
    expect(await rowsOf({ format: 'npy', bytes: Buffer.concat([head('<U2'), wide]), signature })).toEqual([
      ['a😀'],
      ['b'],
    ]);
    const narrow = Buffer.from('abc\0');
    expect(await rowsOf({ format: 'npy', bytes: Buffer.concat([head('|S2'), narrow]), signature })).toEqual([
      ['ab'],
      ['c'],
    ]);
  });

  it.each([
    { change: [/<f8/, '>f8'], says: 'big-endian' },
    { change: [/False/, 'True '], says: 'Fortran order' },
    { change: [/<f8/, '<c8'], says: "the array's elements are <c8" },
    { change: [/NUMPY/, 'NUMPI'], says: 'it is no .npy file' },
    { change: [/\(2, 2\)/, '(3, 2)'], says: 'its shape takes 48' },
    { change: [/\(2, 2\)/, '(     )'], says: 'has no rows' },
  ] as const)('refuses another file: $says', async ({ change: [from, to], says }) => {
    const bytes = npy('FP64', 2, [2], Float64Array.of(1, 2, 3, 4));
    const changed = Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1');
    await expect(rowsOf({ format: 'npy', bytes: changed, signature: one('FP64', [-1, 2]) })).rejects.toThrow(says);
  });
});

/** A tensor of random bits: every exponent, NaN, the ends of integer ranges. */
function randomOutput(random: () => number, name: string, datatype: Datatype, shape: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (datatype === 'BYTES') {
    const words = ['', 'a', 'ü"', 'x,y', 'two\nlines', ' padded ', '\\', '😀'];
    const data = Array.from({ length: count }, () => Buffer.from(words[Math.floor(random() * words.length)] ?? ''));
    return makeTensor(name, datatype, shape, data);
  }
  const width = datatype === 'BOOL' ? 1 : Number(/\d+/.exec(datatype)?.[0] ?? 8) / 8;
  const bytes = Buffer.from(Array.from({ length: count * width }, () => Math.floor(random() * 256)));
  if (datatype === 'BOOL') for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] as number) & 1;
  return tensorFromBytes(name, datatype, shape, bytes);
}

async function joined(format: TableFormat, tensors: readonly Tensor[], perPart: number): Promise<Buffer> {
  const columns = columnsOf(tensors, { inputs: [], outputs: [] });
  const rows = tensors[0]?.shape[0] ?? 0;
  const table = { format, columns, withErrors: false };
  const parts: Buffer[] = [];
  for (let row = 0; row < rows; row += perPart) {
    const count = Math.min(perPart, rows - row);
    const outputs = tensors.map((tensor) => {
      const each = tensor.data.length / rows;
      const data = tensor.data.slice(row * each, (row + count) * each);
      return { ...tensor, shape: [count, ...tensor.shape.slice(1)], data } as Tensor;
    });
    parts.push(encodePart(table, [{ kind: 'answered', rows: count, outputs }]));
  }
  const all: Uint8Array[] = [];
  const streams = (async function* () {
    for (const part of parts) yield Readable.from([part]);
  })();
  for await (const chunk of joinParts(table, rows, streams)) all.push(chunk);
  return Buffer.concat(all);
}

/** NaN has many bits; all of them are one. */
function normal(tensor: Tensor): Tensor {
  if (tensor.datatype === 'FP32' || tensor.datatype === 'FP64') {
    return { ...tensor, data: tensor.data.map((value) => value) } as Tensor;
  }
  const quiet = (bits: number, infinity: number, nan: number) =>
    (bits & infinity) === infinity && (bits & ~infinity & 0x7fff) !== 0 ? nan : bits;
  if (tensor.datatype === 'FP16') return { ...tensor, data: tensor.data.map((bits) => quiet(bits, 0x7c00, 0x7e00)) };
  if (tensor.datatype === 'BF16') return { ...tensor, data: tensor.data.map((bits) => quiet(bits, 0x7f80, 0x7fc0)) };
  return tensor;
}

describe('what is written can be read', () => {
  const formats: readonly TableFormat[] = ['jsonl', 'csv', 'parquet', 'npy'];
  const shapes = [[], [1], [3], [2, 2]];
  for (const format of formats) {
    it.each(DATATYPES)(`${format}: %s keeps every value, whatever the parts`, async (datatype) => {
      if (format === 'npy' && (datatype === 'BYTES' || datatype === 'BF16')) return;
      const random = seeded(DATATYPES.indexOf(datatype) + 1);
      for (const shape of shapes) {
        const rows = 1 + Math.floor(random() * 12);
        const tensor = randomOutput(random, 'y', datatype, [rows, ...shape]);
        const bytes = await joined(format, [tensor], 1 + Math.floor(random() * 5));
        const mapping: ColumnMapping =
          format === 'csv' && shape.length > 0 && tensor.data.length > rows
            ? { y: Array.from({ length: tensor.data.length / rows }, (_, at) => `y_${at}`) }
            : {};
        const given = { format, bytes, mapping, signature: one(datatype, [-1, ...shape], 'y') };
        const { decoded } = await readAll({ ...given, limits: { rows: 1000, bytes: 1e6 } });
        const tensors = decoded.flatMap((part) => {
          expect(part.bad).toEqual([]);
          return part.runs.map((run) => run.tensors[0] as Tensor);
        });
        const read = Buffer.concat(tensors.map((part) => tensorToBytes(part)));
        const values = datatype === 'BYTES' ? tensor : tensorFromBytes('y', datatype, tensor.shape, read);
        if (datatype === 'BYTES') expect(read).toEqual(tensorToBytes(tensor));
        else expect(normal(values).data).toEqual(normal(tensor).data);
      }
    });
  }

  it('several columns, and rows that failed', async () => {
    const columns = columnsOf(
      [makeTensor('n', 'INT32', [1], Int32Array.of(0)), makeTensor('p', 'FP32', [1, 2], Float32Array.of(0, 0))],
      { inputs: [], outputs: [] },
    );
    const segments: Segment[] = [
      { kind: 'bad', message: 'no "x", sorry' },
      {
        kind: 'answered',
        rows: 2,
        outputs: [
          makeTensor('n', 'INT32', [2], Int32Array.of(1, 2)),
          makeTensor('p', 'FP32', [2, 2], Float32Array.of(0.1, 0.2, Number.NaN, 4)),
        ],
      },
    ];
    const text = async (format: TableFormat) => {
      const table = { format, columns, withErrors: true };
      const chunks: Uint8Array[] = [];
      const parts = (async function* () {
        yield Readable.from([encodePart(table, segments)]);
      })();
      for await (const chunk of joinParts(table, 3, parts)) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    expect(String(await text('jsonl'))).toBe(
      '{"n":null,"p":null,"error":"no \\"x\\", sorry"}\n{"n":1,"p":[0.1,0.2]}\n{"n":2,"p":["NaN",4]}\n',
    );
    expect(String(await text('csv'))).toBe('n,p_0,p_1,error\n,,,"no ""x"", sorry"\n1,0.1,0.2,\n2,NaN,4,\n');
    const signature = one('BYTES', [-1], 'error');
    expect(await rowsOf({ format: 'parquet', bytes: await text('parquet'), signature })).toEqual([
      ['no "x", sorry'],
      expect.stringContaining('it is null, expected text'),
      expect.stringContaining('it is null, expected text'),
    ]);
  });
});

describe('a cut', () => {
  it.each(['jsonl', 'csv'] as const)('%s: has every row once, whatever the limits', async (format) => {
    const random = seeded(7);
    for (let round = 0; round < 30; round++) {
      const rows = Array.from({ length: Math.floor(random() * 40) }, (_, at) => at);
      const ending = random() < 0.5 ? '\n' : '\r\n';
      const blank = () => (random() < 0.2 ? ` ${ending}` : '');
      const field = (at: number) => (format === 'csv' && random() < 0.3 ? `"${at}"` : String(at));
      const lines = rows.map((at) => `${blank()}${field(at)}${ending}`).join('');
      const bytes = `${format === 'csv' ? `x${ending}` : ''}${lines}${blank()}`;
      const limits = { rows: 1 + Math.floor(random() * 9), bytes: 1 + Math.floor(random() * 40) };
      const given: Given = { format, bytes, signature: one('INT32', [-1]), limits };
      expect(await rowsOf(given)).toEqual(rows.map((at) => [at]));
      const { parts } = await readAll(given);
      expect(parts.map((part) => part.row)).toEqual(
        parts.map((_, at) => parts.slice(0, at).reduce((sum, { rows: count }) => sum + count, 0)),
      );
      for (const part of parts) expect(part.rows).toBeLessThanOrEqual(limits.rows);
    }
  });
});
