export type Style = (text: string) => string;

export interface Styles {
  readonly bold: Style;
  readonly dim: Style;
  readonly red: Style;
  readonly green: Style;
  readonly yellow: Style;
}

const plain: Style = (text) => text;
const sgr =
  (on: number, off: number): Style =>
  (text) =>
    `\u001b[${on}m${text}\u001b[${off}m`;

const COLOURED: Styles = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
};
const PLAIN: Styles = { bold: plain, dim: plain, red: plain, green: plain, yellow: plain };

export function styles(colour: boolean): Styles {
  return colour ? COLOURED : PLAIN;
}

const GOOD = new Set(['succeeded', 'promoted', 'ok', 'ready', 'created', 'passed']);
const BAD = new Set(['failed', 'rolled_back', 'rejected', 'aborted', 'cancelled', 'not passed']);

/** A state's colour: green where it is the wished one, red where it is not, yellow while it goes on. */
export function stateStyle(state: string, style: Styles): Style {
  if (GOOD.has(state)) return style.green;
  return BAD.has(state) ? style.red : style.yellow;
}
