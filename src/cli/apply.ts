import type { Command } from 'commander';
import { stringify } from 'yaml';
import { KINDS } from './apply/fields.js';
import { makeResource } from './apply/make.js';
import type { Resource } from './apply/parse.js';
import { readResources } from './apply/read.js';
import { ApiError } from './client-errors.js';
import { CliError, usageError } from './exit.js';
import type { Io } from './io.js';
import { openSession, type Session } from './session.js';
import { collect } from './values.js';

interface ApplyOptions {
  readonly file: readonly string[];
  readonly strict?: boolean;
  readonly dryRun?: boolean;
}

/** `sluice apply`. */
export function define(command: Command, io: Io): void {
  command
    .summary('make what YAML files describe')
    .description(
      'Make what YAML files describe, and say of each resource whether it was created, updated or unchanged. ' +
        `Each document has apiVersion: sluice/v1, kind (${KINDS.join(', ')}), metadata.name and spec, as the ` +
        "API has it. Paths in a document (a job's code and requirements, a model's or dataset's path) are relative to its file. " +
        "All documents are checked before anything is changed. An endpoint's version counts only when it is created; " +
        'the same Job document again is the same job. Taken too are an InferenceService of KServe ' +
        '(serving.kserve.io/v1beta1), which becomes a model and an endpoint, and the traffic of a Knative Service ' +
        '(serving.knative.dev/v1): see docs/kserve.md. What of them is not honoured as it stands is said as a warning. ' +
        "With --json: a list of kind, name, action and the API's answer.",
    )
    .requiredOption('-f, --file <path>', 'a file, a folder of files, or - for standard input; again for more', collect)
    .option('--strict', 'change nothing when there are warnings')
    .option('--dry-run', 'show what would be made, and change nothing')
    .action((options: ApplyOptions, self: Command) => apply(openSession(io, self), options));
}

async function apply(session: Session, { file, strict, dryRun }: ApplyOptions): Promise<void> {
  const resources = await readResources(session.io, file);
  const warnings = resources.flatMap((resource) => ('warnings' in resource ? resource.warnings : []));
  if (strict && warnings.length > 0) {
    throw usageError(warnings.join('\n'), 'nothing was changed, because of --strict');
  }
  for (const warning of warnings) session.io.err(`warning: ${warning}\n`);
  const done: { kind: string; name: string; action: string; result: unknown }[] = [];
  try {
    for (const resource of resources) {
      const { kind, name } = resource;
      if (dryRun) {
        const result = planOf(resource);
        done.push({ kind, name, action: 'planned', result });
        session.print(`${kind}/${name} would become:\n${indented(stringify(result))}`);
        continue;
      }
      const { action, detail, result } = await make(session, resource);
      done.push({ kind, name, action, result });
      session.print(`${kind}/${name} ${action}${detail ? `: ${detail}` : ''}`);
    }
  } finally {
    // also when one failed: what was done before stays done
    if (session.json) session.io.out(`${JSON.stringify(done)}\n`);
  }
}

/** What a document asks for, in the words of the API. */
function planOf(resource: Resource): unknown {
  return 'plan' in resource ? JSON.parse(JSON.stringify(resource.plan)) : resource.spec;
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ').trimEnd();
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
