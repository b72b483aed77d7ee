/** What we read and write as npy and Parquet is what numpy and pyarrow write and read. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { RandomAccess, TableFormat } from '../../src/core/tables/format.js';
import { layoutOf } from '../../src/core/tables/layout.js';
import { columnsOf } from '../../src/core/tables/outputs.js';
import { openTable } from '../../src/core/tables/read.js';
import { sliceRows } from '../../src/core/tables/rows.js';
import { encodePart, joinParts } from '../../src/core/tables/write.js';
import { DATATYPES, type Datatype } from '../../src/protocol/datatypes.js';
import { makeTensor, type Tensor, tensorFromBytes, tensorToBytes } from '../../src/protocol/tensor.js';
import { pythonWith } from '../../tests/support/python-environment.js';

const REQUIREMENTS = ['numpy>=2', 'pyarrow>=17'];
const ROWS = 1000;
const WIDTH = 3;
const PART_ROWS = 333;

export interface TablesChecked {
  readonly compared: number;
  readonly problems: readonly string[];
  /** Why it could not be done. */
  readonly notRun: string | undefined;
}

export async function checkTables(): Promise<TablesChecked> {
  const found = await pythonWith(REQUIREMENTS);
  if ('missing' in found) return { compared: 0, problems: [], notRun: found.missing };
  const folder = await mkdtemp(join(tmpdir(), 'sluice-verify-tables-'));
  const python = async (mode: string) =>
    (await promisify(execFile)(found.python, [resolve('verify', 'batch', 'tables.py'), mode, folder])).stdout;
  try {
    await python('make');
    const read = await readTheirs(folder);
    await writeOurs(folder);
    const written = JSON.parse(await python('check')) as { compared: number; problems: string[] };
    return {
      compared: read.compared + written.compared,
      problems: [
        ...read.problems,
        ...written.problems.map((name) => `they read ${name} otherwise than it was written`),
      ],
      notRun: undefined,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Datatypes that both sides know. */
const SHARED = DATATYPES.filter((datatype) => datatype !== 'BYTES' && datatype !== 'BF16');

async function readTheirs(folder: string): Promise<{ compared: number; problems: string[] }> {
  let compared = 0;
  const problems: string[] = [];
  for (const datatype of SHARED) {
    const wanted = await readFile(join(folder, `${datatype}.bin`));
    for (const format of ['npy', 'parquet'] as const) {
      const read = await readAll(format, datatype, await readFile(join(folder, `${datatype}.${format}`)));
      if (!read.equals(wanted)) problems.push(`${datatype}.${format} is read otherwise than it was written`);
      compared += ROWS * WIDTH;
    }
  }
  return { compared, problems };
}

async function readAll(format: TableFormat, datatype: Datatype, bytes: Buffer): Promise<Buffer> {
  const file: RandomAccess = { bytes: bytes.length, read: async (start, stop) => bytes.subarray(start, stop) };
  const table = await openTable(format, file);
  const signature = { inputs: [{ name: 'x', datatype, shape: [-1, WIDTH] }], outputs: [] };
  const layout = layoutOf(signature, {}, table.columns);
  const read = table.rows(layout);
  const chunks: Buffer[] = [];
  for await (const part of table.cut(layout, { rows: 70, bytes: 1e6 })) {
    for (const { tensors } of (await read(part)).runs) chunks.push(tensorToBytes(tensors[0] as Tensor));
  }
  return Buffer.concat(chunks);
}

async function writeOurs(folder: string): Promise<void> {
  const text = makeTensor(
    's',
    'BYTES',
    [ROWS],
    Array.from({ length: ROWS }, (_, row) => Buffer.from(`ü${row},\n`)),
  );
  for (const datatype of SHARED) {
    const bytes = await readFile(join(folder, `${datatype}.bin`));
    const x = tensorFromBytes('x', datatype, [ROWS, WIDTH], bytes);
    await writeFile(join(folder, `${datatype}.npy`), await write('npy', [x]));
    await writeFile(join(folder, `${datatype}.parquet`), await write('parquet', [x, text]));
  }
}

async function write(format: TableFormat, tensors: readonly Tensor[]): Promise<Buffer> {
  const table = { format, columns: columnsOf(tensors, { inputs: [], outputs: [] }), withErrors: false };
  const parts = (async function* () {
    for (let row = 0; row < ROWS; row += PART_ROWS) {
      const outputs = sliceRows(tensors, row, Math.min(ROWS, row + PART_ROWS));
      const rows = Math.min(PART_ROWS, ROWS - row);
      yield Readable.from([encodePart(table, [{ kind: 'answered', rows, outputs }])]);
    }
  })();
  const chunks: Uint8Array[] = [];
  for await (const chunk of joinParts(table, ROWS, parts)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
