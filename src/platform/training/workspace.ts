import { constants } from 'node:fs';
import { cp, mkdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve, sep } from 'node:path';
import type { Attempt } from '../../core/training/runner.js';
import { AppError } from '../../errors.js';
import type { PythonEnvironment } from '../python/environments.js';
import { MARKER } from './process-scan.js';

/** An attempt, with what it needs on this machine. */
export interface LocalAttempt extends Attempt {
  /** Folder that holds the user's code; copied, never changed. */
  readonly codePath: string;
  /** Folder that is kept between attempts of the same job, for checkpoints. */
  readonly checkpointPath: string;
}

/** The folders of one attempt: `<work folder>/<job>/attempt-<n>/…`. */
export interface Workspace {
  readonly attemptPath: string;
  readonly codePath: string;
  readonly outputPath: string;
  readonly paramsPath: string;
}

/** The folder of a job. `invalid` for an id that is no plain name. */
export function jobFolder(workFolder: string, jobId: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/.test(jobId)) {
    throw new AppError('invalid', `job id ${JSON.stringify(jobId)} must be 1 to 128 of A-Z, a-z, 0-9, - and _`);
  }
  return join(resolve(workFolder), jobId);
}

/** Where everything of an attempt lies; makes nothing. */
export function workspaceOf(workFolder: string, attempt: Attempt): Workspace {
  const attemptPath = join(jobFolder(workFolder, attempt.jobId), `attempt-${attempt.number}`);
  return {
    attemptPath,
    codePath: join(attemptPath, 'code'),
    outputPath: join(attemptPath, 'output'),
    paramsPath: join(attemptPath, 'params.json'),
  };
}

/** Checks that the entrypoint is a file inside the code folder, links followed; `invalid` otherwise. */
export async function checkEntrypoint(attempt: LocalAttempt): Promise<void> {
  const name = JSON.stringify(attempt.entrypoint);
  const root = await realpath(attempt.codePath).catch(() => {
    throw new AppError('invalid', `the code folder of job ${attempt.jobId} is missing`);
  });
  const path = await realpath(join(root, attempt.entrypoint)).catch(() => {
    throw new AppError('invalid', `entrypoint ${name} is not in the code folder`, { details: { field: 'entrypoint' } });
  });
  if (!path.startsWith(root + sep)) throw new AppError('invalid', `entrypoint ${name} leads out of the code folder`);
  if (!(await stat(path)).isFile()) throw new AppError('invalid', `entrypoint ${name} is not a file`);
}

/** Makes the folders, with a fresh copy of the code and the parameters; an earlier run of the same attempt is removed. */
export async function prepareWorkspace(attempt: LocalAttempt, workspace: Workspace): Promise<void> {
  await rm(workspace.attemptPath, { recursive: true, force: true });
  await mkdir(workspace.outputPath, { recursive: true });
  await mkdir(attempt.checkpointPath, { recursive: true });
  await cp(attempt.codePath, workspace.codePath, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
  });
  await writeFile(workspace.paramsPath, `${JSON.stringify(attempt.params)}\n`);
}

const THREAD_VARIABLES = [
  'OMP_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'MKL_NUM_THREADS',
  'NUMEXPR_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
];

/**
 * The whole environment of a script: the base, thread counts by the CPUs (at least 1), the job's own variables over
 * these, and the contract's over all. Nothing else of the platform's environment.
 */
export function scriptEnvironment(given: {
  readonly attempt: LocalAttempt;
  readonly workspace: Workspace;
  readonly python: PythonEnvironment;
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly gpuIndexes: readonly number[];
  readonly marker: string;
}): Record<string, string> {
  const { attempt, workspace, python } = given;
  const threads = String(Math.max(1, Math.floor(attempt.resources.cpus)));
  const env: Record<string, string> = { ...given.baseEnv };
  for (const name of THREAD_VARIABLES) env[name] = threads;
  Object.assign(env, attempt.env);
  for (const [name, value] of Object.entries(attempt.params)) env[paramVariable(name)] = paramText(value);
  if (python.folder !== null) {
    env.VIRTUAL_ENV = python.folder;
    env.PATH = [join(python.folder, 'bin'), ...(env.PATH ? [env.PATH] : [])].join(delimiter);
  }
  return Object.assign(env, {
    PYTHONUNBUFFERED: '1',
    SLUICE_JOB_ID: attempt.jobId,
    SLUICE_ATTEMPT: String(attempt.number),
    SLUICE_PARAMS: workspace.paramsPath,
    SLUICE_OUTPUT_DIR: workspace.outputPath,
    SLUICE_CHECKPOINT_DIR: resolve(attempt.checkpointPath),
    CUDA_VISIBLE_DEVICES: given.gpuIndexes.join(','),
    [MARKER]: given.marker,
  });
}

/** `learning-rate` becomes SLUICE_PARAM_LEARNING_RATE: upper case, all but letters and digits to `_`. */
export function paramVariable(name: string): string {
  return `SLUICE_PARAM_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
}

function paramText(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  // the environment cannot hold a NUL; the JSON file can
  return text.replaceAll('\0', '');
}
