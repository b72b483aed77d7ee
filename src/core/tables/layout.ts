/** Which columns of a table become which inputs of a model. */
import { AppError } from '../../errors.js';
import type { Datatype } from '../../protocol/datatypes.js';
import type { Signature } from '../../protocol/signature.js';
import { elementCount } from '../../protocol/tensor.js';

/** One input of a model and where a row's value for it comes from. */
export interface InputColumn {
  readonly name: string;
  readonly datatype: Datatype;
  /** Of one row: without the first dimension. -1 is variable; undefined for a model that does not say. */
  readonly shape: readonly number[] | undefined;
  /** Names of the columns; the values of several stand one behind the other. */
  readonly columns: readonly string[];
}

export interface Layout {
  readonly inputs: readonly InputColumn[];
  /** Rows in each request, of a model whose first dimension is fixed. */
  readonly batch: number | undefined;
}

/** A column that a table has. */
export interface TableColumn {
  readonly name: string;
  /** Whether its values are numbers or booleans. */
  readonly numeric: boolean;
}

/** Input → its column, or its columns in order. */
export type ColumnMapping = Readonly<Record<string, string | readonly string[]>>;

/**
 * Finds each input's columns: those that the mapping names, else the column of the input's own name, else, for a model of one
 * input, all numeric columns in order. `columns`: undefined for tables whose rows say themselves what they have. Throws
 * `invalid` naming the input.
 */
export function layoutOf(
  signature: Signature,
  mapping: ColumnMapping,
  columns: readonly TableColumn[] | undefined,
): Layout {
  const { inputs } = signature;
  if (inputs.length === 0)
    throw new AppError('invalid', 'the model does not say what it takes, so rows cannot be made into its inputs');
  const unknown = Object.keys(mapping).find((name) => !inputs.some((input) => input.name === name));
  if (unknown !== undefined)
    throw new AppError('invalid', `columns: the model has no input "${unknown}"; it takes ${names(inputs)}`);
  const found = inputs.map((input): InputColumn => {
    const shape = input.shape.length === 0 ? undefined : input.shape.slice(1);
    const own = { name: input.name, datatype: input.datatype, shape };
    return checked({ ...own, columns: columnsOf(own, mapping[input.name], columns, inputs.length === 1) }, columns);
  });
  return { inputs: found, batch: batchOf(signature) };
}

function columnsOf(
  input: Omit<InputColumn, 'columns'>,
  mapped: string | readonly string[] | undefined,
  columns: readonly TableColumn[] | undefined,
  only: boolean,
): readonly string[] {
  if (mapped !== undefined) return typeof mapped === 'string' ? [mapped] : mapped;
  if (columns === undefined || columns.some((column) => column.name === input.name)) return [input.name];
  if (!only)
    throw new AppError(
      'invalid',
      `columns: there is no column for input "${input.name}"; the file has ${names(columns)}`,
    );
  const numeric = columns.filter((column) => column.numeric);
  if (numeric.length === 0)
    throw new AppError('invalid', `columns: no column of ${names(columns)} holds numbers for input "${input.name}"`);
  return numeric.map((column) => column.name);
}

/** Refuses columns that are not there, and a count that does not fill the input. */
function checked(input: InputColumn, columns: readonly TableColumn[] | undefined): InputColumn {
  if (columns === undefined) return input;
  for (const name of input.columns) {
    if (!columns.some((column) => column.name === name))
      throw new AppError(
        'invalid',
        `columns: input "${input.name}" is to come from column "${name}"; the file has ${names(columns)}`,
      );
  }
  const { shape } = input;
  const width = shape === undefined || shape.includes(-1) ? undefined : elementCount(shape);
  if (input.columns.length > 1 && width !== undefined && width !== input.columns.length)
    throw new AppError(
      'invalid',
      `columns: input "${input.name}" takes ${width} values a row; ${input.columns.length} columns were found for it: ` +
        `${input.columns.join(', ')}`,
    );
  return input;
}

/** The fixed first dimension of a model's inputs, if there is one. */
function batchOf({ inputs }: Signature): number | undefined {
  const fixed = new Set(inputs.flatMap(({ shape: [first] }) => (first !== undefined && first > 0 ? [first] : [])));
  if (fixed.size > 1)
    throw new AppError('invalid', `the model's inputs disagree on their first dimension: ${[...fixed].join(', ')}`);
  return [...fixed][0];
}

function names(all: readonly { readonly name: string }[]): string {
  return all
    .slice(0, 20)
    .map((one) => `"${one.name}"`)
    .join(', ');
}
