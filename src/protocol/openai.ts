/** The one thing of the OpenAI API's bodies that a gateway must know: which model they are for. */
import { AppError } from '../errors.js';
import { eachMember, JsonScanner } from './json/scanner.js';

export interface NamedModel {
  readonly name: string;
  /** Where the name lies in the body, with its quotes. */
  readonly start: number;
  readonly end: number;
}

/** Finds a body's `model`; throws `invalid` where there is none, or no JSON. */
export function findModel(body: Buffer): NamedModel {
  const json = new JsonScanner(body);
  let found: NamedModel | undefined;
  if (json.peek() !== 0x7b) throw new AppError('invalid', 'the body is not a JSON object');
  eachMember(json, (key) => {
    if (key !== 'model') {
      json.skip();
      return;
    }
    json.peek();
    const start = json.at;
    const name = json.value();
    if (typeof name !== 'string' || name === '') {
      throw new AppError('invalid', '"model" is not a name, expected that of an endpoint');
    }
    found = { name, start, end: json.at };
  });
  if (!found) throw new AppError('invalid', '"model" is missing; it names the endpoint');
  return found;
}

/** The body with another model's name in the place of the one that was found. */
export function withModel(body: Buffer, { start, end }: NamedModel, name: string): Buffer {
  return Buffer.concat([body.subarray(0, start), Buffer.from(JSON.stringify(name)), body.subarray(end)]);
}
