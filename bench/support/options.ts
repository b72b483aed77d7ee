import { AppError } from '../../src/errors.js';

/** The value of an option of the command line as a positive number. */
export function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new AppError('invalid', `--${name} must be a positive number, not "${text}"`);
  return value;
}

/** Those of the things whose names the option gives, separated by commas; all of them when it was not given. */
export function choice<T extends { readonly name: string }>(
  option: string,
  text: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(',').filter((name) => name !== '');
  const wrong = names.filter((name) => !all.some((one) => one.name === name));
  if (wrong.length > 0) {
    const known = all.map(({ name }) => name).join(', ');
    throw new AppError('invalid', `--${option}: there is no "${wrong.join('", "')}"; there are: ${known}`);
  }
  return all.filter(({ name }) => names.includes(name));
}
