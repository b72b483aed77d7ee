import { AppError } from '../errors.js';

/** A path of the Open Inference Protocol that names a model. */
export interface ModelPath {
  readonly name: string;
  readonly version: string | undefined;
  readonly verb: 'infer' | 'ready' | 'metadata';
}

const PREFIX = '/v2/models/';

/** Reads /v2/models/{name}[/versions/{version}][/infer|/ready]; undefined when the path is another one. */
export function parseModelPath(path: string): ModelPath | undefined {
  if (!path.startsWith(PREFIX)) return undefined;
  const [name, ...rest] = path.slice(PREFIX.length).split('/');
  if (!name) return undefined;
  let version: string | undefined;
  if (rest[0] === 'versions') {
    if (!rest[1]) return undefined;
    version = decode(rest[1]);
    rest.splice(0, 2);
  }
  if (rest.length > 1) return undefined;
  const verb = rest[0] ?? 'metadata';
  if (verb !== 'infer' && verb !== 'ready' && verb !== 'metadata') return undefined;
  return { name: decode(name), version, verb };
}

function decode(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AppError('invalid', `"${text}" in the path is not valid percent-encoding`);
  }
}
