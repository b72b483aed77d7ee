/** What models run on besides what comes with this package: found for the model servers, listed and installed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../config.js';
import { AppError } from '../errors.js';
import { createLog } from '../log.js';
import { type FoundTensorFlow, findInPython, findTensorFlow } from '../platform/engines/find-tensorflow.js';
import { installFolder, installTensorFlow, TENSORFLOW_VERSION } from '../platform/engines/install-tensorflow.js';
import { listInstalled } from '../platform/engines/installed.js';
import { launchRuntime } from '../platform/fleet/runtime-process.js';
import { probeInterpreter } from '../platform/python/pip.js';
import { program } from './paths.js';

/** Where `sluice engines install` puts what it installs. */
export function enginesFolder(config: Config): string {
  return join(config.cacheDir, 'engines');
}

/** The arguments by which a model server finds the libraries of its engines. */
export async function runtimeArgs(config: Config): Promise<string[]> {
  const found = await findTensorFlow(searchOf(config));
  // where none is found yet, one that is installed while the server runs will be
  const folder = found?.folder ?? installFolder(enginesFolder(config), TENSORFLOW_VERSION, false);
  return ['--tensorflow-library', folder];
}

/** A line of the list of engines. */
export interface EngineLine {
  readonly engine: string;
  /** Undefined where it is not known without loading it. */
  readonly version: string | undefined;
  /** Undefined: it comes with this package. */
  readonly folder: string | undefined;
  readonly from: 'package' | FoundTensorFlow['from'];
  /** Whether model servers that start now use it. */
  readonly used: boolean;
  /** What is wrong with it; undefined: nothing. */
  readonly problem: string | undefined;
}

export async function listEngines(config: Config = loadConfig()): Promise<EngineLine[]> {
  const search = searchOf(config);
  const [used, installed, inPython] = await Promise.all([
    findTensorFlow(search),
    listInstalled(search.enginesFolder),
    findInPython(search.python, search.env),
  ]);
  const configured: FoundTensorFlow[] =
    search.configured === undefined ? [] : [{ folder: search.configured, from: 'setting', version: undefined }];
  const tensorflow = [
    ...configured.map((found) => ({ ...found, problem: undefined })),
    ...installed.map(({ folder, version, cuda, whole }) => ({
      folder,
      from: 'installed' as const,
      version: cuda ? `${version} for CUDA` : version,
      problem: whole ? undefined : 'files are missing: install it again',
    })),
    ...(inPython ? [{ ...inPython, problem: undefined }] : []),
  ];
  return [
    { engine: 'onnx', version: undefined, folder: undefined, from: 'package', used: true, problem: undefined },
    ...tensorflow.map((found) => ({ engine: 'tensorflow', ...found, used: found.folder === used?.folder })),
  ];
}

export interface EngineInstall {
  readonly engine: string;
  /** Undefined: the one that this program is verified with. */
  readonly version: string | undefined;
  /** Undefined: the one of the settings. */
  readonly python: string | undefined;
  readonly cuda: boolean;
  /** Gets what goes on, line by line. */
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Installs an engine's library; `before` tells that it was there. */
export async function installEngine(
  install: EngineInstall,
  config: Config = loadConfig(),
): Promise<{ folder: string; version: string; before: boolean; used: boolean }> {
  if (install.engine !== 'tensorflow') {
    throw new AppError('invalid', `engine is "${install.engine}", expected tensorflow: no other has to be installed`);
  }
  const env = config.training.baseEnv;
  const interpreter = await probeInterpreter(install.python ?? config.training.python, env);
  const { installed, before } = await installTensorFlow({
    enginesFolder: enginesFolder(config),
    version: install.version ?? TENSORFLOW_VERSION,
    cuda: install.cuda,
    python: interpreter.executable,
    env,
    onLine: install.onLine,
    signal: install.signal,
    tryOut: (folder) => tryOut(config, folder),
  });
  const used = await findTensorFlow(searchOf(config));
  return { folder: installed.folder, version: installed.version, before, used: used?.folder === installed.folder };
}

/** Starts a model server with TensorFlow's library from a folder, and ends it; rejects with the server's own words. */
async function tryOut(config: Config, folder: string): Promise<void> {
  // the path of a socket must be short
  const sockets = await mkdtemp(join(tmpdir(), 'sluice-try-'));
  try {
    const runtime = await launchRuntime({
      script: program('runtime'),
      socket: join(sockets, 's'),
      maxBodyBytes: 2 ** 20,
      drainMs: 1000,
      startTimeoutMs: 60_000,
      env: config.training.baseEnv,
      engineArgs: ['--engine', 'tensorflow', '--tensorflow-library', folder],
      log: createLog({ level: 'silent', format: 'json' }),
    });
    const end = await Promise.race([runtime.warm, runtime.exited]);
    runtime.kill();
    await runtime.exited;
    if (end !== undefined) throw new AppError('unsupported', `the library does not load on this machine: ${end}`);
  } finally {
    await rm(sockets, { recursive: true, force: true });
  }
}

function searchOf(config: Config) {
  return {
    configured: config.tensorflowDir,
    enginesFolder: enginesFolder(config),
    python: config.training.python,
    env: config.training.baseEnv,
  };
}
