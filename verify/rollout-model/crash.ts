/** A database whose caller dies: at a chosen statement, before it is sent. What its transaction had written is undone. */
import type { KyselyPlugin } from 'kysely';
import type { Db } from '../../src/core/schema.js';

export class Crash extends Error {
  override readonly name = 'Crash';
}

/** `at`: statements that are still sent. */
export function dyingAt(db: Db, at: number): Db {
  let left = at;
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      if (left-- <= 0) throw new Crash('the worker dies here');
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return db.withPlugin(plugin);
}
