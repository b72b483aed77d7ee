/** `sluice train submit`. */
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { usageError } from '../exit.js';
import type { Io } from '../io.js';
import { plural } from '../print/text.js';
import { openSession, type Session } from '../session.js';
import { uploadCode } from '../upload.js';
import { collect, defined, integer, mebibytes, type Param, params, positive, seconds, textPairs } from '../values.js';
import { follow, waitAndReport } from './follow.js';
import { readRequirements } from './requirements.js';

interface SubmitOptions {
  readonly model?: string;
  readonly name?: string;
  readonly entrypoint?: string;
  readonly requirements: string | boolean;
  readonly require?: readonly string[];
  readonly param?: Readonly<Record<string, Param>>;
  readonly arg?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cpus?: number;
  readonly memory?: number;
  readonly gpus?: number;
  readonly image?: string;
  readonly replicas?: number;
  readonly framework?: string;
  readonly processes?: number;
  readonly timeLimit?: number;
  readonly retries?: number;
  readonly endpoint?: string;
  readonly codeLimit?: number;
  readonly idempotencyKey?: string;
  readonly follow?: boolean;
  readonly wait?: boolean;
  readonly promoted?: boolean;
}

/** Adds the subcommand. */
export function defineSubmit(command: Command, io: Io): void {
  command
    .command('submit')
    .summary('submit a training job')
    .description(
      'Pack a folder or a script, upload it unless the gateway has it, and submit a job that runs it. A folder is ' +
        'packed without .git, .venv, node_modules, __pycache__ and what its .sluiceignore names.',
    )
    .argument('<code>', 'a folder, or one script')
    .option('--model <model>', 'register the output under this name')
    .option('--name <name>', 'what people call the job; default: the model, else the folder')
    .option('--entrypoint <script>', 'script to run, relative to the folder; default: train.py')
    .option('--requirements <file>', 'pip requirements; default: requirements.txt of the folder, if there')
    .option('--no-requirements', 'none, whatever the folder has')
    .option('--require <line>', 'one pip requirement line; again for more', collect)
    .option('-p, --param <name=value>', 'a parameter; again for more', params)
    .option('--arg <text>', 'an argument of the script; again for more', collect)
    .option('--env <name=value>', 'an environment variable of the script; again for more', textPairs)
    .option('--cpus <n>', 'CPU slots, may be fractional', positive)
    .option('--memory <size>', 'memory set aside, such as 512m or 2g', mebibytes)
    .option('--gpus <n>', 'whole GPUs', integer(0, 64))
    .option('--image <image>', 'container image to run in, where jobs run on Kubernetes')
    .option('--replicas <n>', 'how many run the script together, where jobs run on Kubernetes', integer(1, 64))
    .option('--framework <name>', 'how replicas find each other: none, torch, tensorflow or jax')
    .option('--processes <n>', 'with torch: processes that torchrun starts in each replica', integer(1, 64))
    .option('--time-limit <time>', 'longest run, such as 90s, 30m or 2h', seconds)
    .option('--retries <n>', 'how often a failed attempt is repeated', integer(0, 20))
    .option('--endpoint <name>', 'endpoint that takes the model over; default: every endpoint of the model')
    .option('--idempotency-key <text>', 'the same key again is the same job, not a second one')
    .option('--code-limit <size>', 'largest code folder; default: 256m', mebibytes)
    .option('-f, --follow', 'print the log until the job ends; the exit code says whether it succeeded')
    .option('-w, --wait', 'wait until the job ends; the exit code says whether it succeeded')
    .option('--promoted', 'wait for its promotions too; the exit code says whether all were promoted')
    .action((code: string, options: SubmitOptions, self: Command) => submit(openSession(io, self), code, options));
}

async function submit(session: Session, code: string, options: SubmitOptions): Promise<void> {
  const facts = await stat(code).catch(() => undefined);
  if (!facts) throw usageError(`there is no file or folder ${code}`);
  const isFolder = facts.isDirectory();
  const entrypoint = options.entrypoint ?? (isFolder ? 'train.py' : basename(code));
  if (!(await isFile(isFolder ? join(code, entrypoint) : join(code, '..', entrypoint)))) {
    throw usageError(`there is no script ${entrypoint} in ${code}`, 'name the script to run with --entrypoint');
  }
  const requirements = [...(await requirementLines(session, code, isFolder, options)), ...(options.require ?? [])];
  const uploaded = await uploadCode(
    session,
    code,
    options.codeLimit === undefined ? undefined : options.codeLimit * 2 ** 20,
  );
  const resources = defined({ cpus: options.cpus, memoryMb: options.memory, gpus: options.gpus });
  const distributed = defined({ framework: options.framework, processesPerReplica: options.processes });
  const json = {
    name: options.name ?? options.model ?? jobName(code),
    code: uploaded.digest,
    entrypoint,
    ...(requirements.length > 0 ? { requirements } : {}),
    ...defined({
      model: options.model,
      args: options.arg,
      params: options.param,
      env: options.env,
      image: options.image,
      replicas: options.replicas,
      timeLimitSec: options.timeLimit,
      retries: options.retries,
      endpoint: options.endpoint,
    }),
    ...(Object.keys(resources).length > 0 ? { resources } : {}),
    ...(Object.keys(distributed).length > 0 ? { distributed } : {}),
  };
  const answer = await session.client.post<{ id: string; state: string }>('/api/v1/jobs', {
    json,
    // always a key, so that a broken connection can be tried again without a second job
    headers: { 'idempotency-key': options.idempotencyKey ?? randomUUID() },
    signal: session.signal,
  });
  const { id, state } = answer.body;
  const again = answer.status === 200 ? ', submitted before' : '';
  if (options.follow || options.wait || options.promoted) {
    session.note(`${id}: ${state}${again}`);
    if (options.follow) await follow(session, id);
    return waitAndReport(session, id, options.promoted === true);
  }
  if (session.printedJson(answer)) return;
  session.printEssential(id, `${id} ${state}${again}`);
  session.note(`follow it with \`sluice train logs ${id} --follow\``);
}

async function requirementLines(
  session: Session,
  code: string,
  isFolder: boolean,
  options: SubmitOptions,
): Promise<string[]> {
  if (options.requirements === false) return [];
  if (typeof options.requirements === 'string') return readRequirements(options.requirements);
  const file = join(code, 'requirements.txt');
  if (!isFolder || !(await isFile(file))) return [];
  const lines = await readRequirements(file);
  session.note(`requirements: ${plural(lines.length, 'line')} of ${file}`);
  return lines;
}

/** A job name from a path: what names may hold. */
export function jobName(path: string): string {
  const name = basename(resolve(path))
    .replace(/\.[^.]+$/, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return name || 'job';
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
