import { type Style, type Styles, stateStyle } from './style.js';
import { oneLine } from './text.js';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => string;
  /** Numbers read best with their ends under each other. */
  readonly right?: boolean;
  /** Cells are states, and coloured as such. */
  readonly state?: boolean;
}

export interface TableOptions {
  readonly style: Styles;
  /** Columns of the terminal: longer lines are cut there. Undefined: nothing is cut. */
  readonly width?: number | undefined;
}

/** Aligned columns, two spaces apart, one line per row. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], options: TableOptions): string {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.cell(row)) || '-'));
  const widths = columns.map((column, at) =>
    Math.max(length(column.title), ...cells.map((row) => length(row[at] ?? ''))),
  );
  const last = columns.length - 1;
  if (options.width !== undefined && widths[last] !== undefined) {
    const before = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 0);
    widths[last] = Math.max(length(columns[last]?.title ?? ''), Math.min(widths[last], options.width - before));
  }
  const line = (texts: readonly string[], styleOf: (at: number, text: string) => Style) =>
    texts
      .map((text, at) => pad(text, widths[at] ?? 0, columns[at]?.right === true, at === last, styleOf(at, text)))
      .join('  ')
      .trimEnd();
  const head = line(
    columns.map((column) => column.title),
    () => options.style.dim,
  );
  const plain: Style = (text) => text;
  const body = cells.map((row) =>
    line(row, (at, text) => (columns[at]?.state && text !== '-' ? stateStyle(text, options.style) : plain)),
  );
  return `${[head, ...body].join('\n')}\n`;
}

/** Names and values under each other, the values aligned; entries without a value are left out. */
export function facts(entries: readonly (readonly [string, string | undefined])[], style: Styles): string {
  const shown = entries.filter(
    (entry): entry is readonly [string, string] => entry[1] !== undefined && entry[1] !== '',
  );
  const width = Math.max(0, ...shown.map(([name]) => length(name)));
  return shown.map(([name, value]) => `${style.dim(name.padEnd(width))}  ${oneLine(value)}\n`).join('');
}

function pad(text: string, width: number, right: boolean, isLast: boolean, style: Style): string {
  const cut = length(text) > width ? `${[...text].slice(0, Math.max(1, width - 1)).join('')}…` : text;
  const space = ' '.repeat(Math.max(0, width - length(cut)));
  if (right) return space + style(cut);
  return isLast ? style(cut) : style(cut) + space;
}

function length(text: string): number {
  return [...text].length;
}
