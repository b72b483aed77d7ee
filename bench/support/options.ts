import { AppError } from '../../src/errors.js';

/** The value of an option of the command line as a positive number. */
export function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new AppError('invalid', `--${name} must be a positive number, not "${text}"`);
  return value;
}

/** Names separated by commas, each one of those that there are; all of them when the option was not given. */
export function choice<T extends string>(option: string, text: string | undefined, all: readonly T[]): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(',').filter((name) => name !== '');
  const wrong = names.filter((name) => !all.some((known) => known === name));
  if (wrong.length > 0) {
    throw new AppError('invalid', `--${option}: there is no "${wrong.join('", "')}"; there are: ${all.join(', ')}`);
  }
  return all.filter((known) => names.includes(known));
}
