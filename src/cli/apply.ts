import type { Command } from 'commander';
import { KINDS } from './apply/fields.js';
import { makeResource } from './apply/make.js';
import type { Resource } from './apply/parse.js';
import { readResources } from './apply/read.js';
import { ApiError } from './client-errors.js';
import { CliError } from './exit.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { collect } from './values.js';

/** `sluice apply`. */
export function define(command: Command, io: Io): void {
  command
    .summary('make what YAML files describe')
    .description(
      'Make what YAML files describe, and say of each resource whether it was created, updated or unchanged. ' +
        `Each document has apiVersion: sluice/v1, kind (${KINDS.join(', ')}), metadata.name and spec, as the ` +
        "API has it. Paths in a document (a job's code and requirements, a model's or dataset's path) are relative to its file. " +
        "All documents are checked before anything is changed. An endpoint's version counts only when it is created; " +
        "the same Job document again is the same job. With --json: a list of kind, name, action and the API's answer.",
    )
    .requiredOption('-f, --file <path>', 'a file, a folder of files, or - for standard input; again for more', collect)
    .action((options: { file: readonly string[] }, self: Command) => apply(openSession(io, self), options.file));
}

async function apply(session: Session, sources: readonly string[]): Promise<void> {
  const resources = await readResources(session.io, sources);
  const done: { kind: string; name: string; action: string; result: unknown }[] = [];
  try {
    for (const resource of resources) {
      const { kind, name } = resource;
      const { action, detail, result } = await make(session, resource);
      done.push({ kind, name, action, result });
      session.print(`${kind}/${name} ${action}${detail ? `: ${detail}` : ''}`);
    }
  } finally {
    // also when one failed: what was done before stays done
    if (session.json) session.io.out(`${JSON.stringify(done)}\n`);
  }
}

/** An API error of a resource names its place in the file. */
async function make(session: Session, resource: Resource) {
  try {
    return await makeResource(session, resource);
  } catch (error) {
    const { kind, name, where } = resource;
    if (error instanceof ApiError) throw error.within(`${where}: ${kind}/${name}`);
    if (error instanceof CliError && !error.message.startsWith(where)) {
      throw new CliError(`${where}: ${kind}/${name}: ${error.message}`, error.exitCode, error.hint);
    }
    throw error;
  }
}
