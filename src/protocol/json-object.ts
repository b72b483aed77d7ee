import { AppError } from '../errors.js';

/** Reads a body that is a JSON object; an empty one stands for `{}`. `invalid` for anything else. */
export function readJsonObject(body: Buffer): Readonly<Record<string, unknown>> {
  if (body.length === 0) return {};
  let root: unknown;
  try {
    root = JSON.parse(body.toString('utf8'));
  } catch {
    throw new AppError('invalid', 'the body is not JSON');
  }
  if (typeof root === 'object' && root !== null && !Array.isArray(root)) return root as Record<string, unknown>;
  throw new AppError('invalid', 'the body is not a JSON object');
}
