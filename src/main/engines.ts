/** What models run on besides what comes with this package: found for the model servers, listed and installed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../config.js';
import { AppError } from '../errors.js';
import { createLog } from '../log.js';
import { type FoundTensorFlow, findInPython, findTensorFlow } from '../platform/engines/find-tensorflow.js';
import { installEngine, installFolder, type Recipe } from '../platform/engines/install.js';
import { type InstalledEngine, listInstalled } from '../platform/engines/installed.js';
import { findOnnx, onnxRecipe, onnxVersion } from '../platform/engines/onnx.js';
import { TENSORFLOW_VERSION, tensorflowRecipe } from '../platform/engines/tensorflow.js';
import { launchRuntime } from '../platform/fleet/runtime-process.js';
import { probeInterpreter } from '../platform/python/pip.js';
import { program } from './paths.js';

/** Where `sluice engines install` puts what it installs. */
export function enginesFolder(config: Config): string {
  return join(config.cacheDir, 'engines');
}

/** The arguments by which a model server finds the libraries of its engines. */
export async function runtimeArgs(config: Config): Promise<string[]> {
  const folder = enginesFolder(config);
  const [onnx, found] = await Promise.all([findOnnx(folder), findTensorFlow(searchOf(config))]);
  // where none is found yet, one that is installed while the server runs will be
  const missing = { engine: 'tensorflow', version: TENSORFLOW_VERSION, cuda: false } as const;
  const tensorflow = found?.folder ?? installFolder(folder, missing);
  return ['--tensorflow-library', tensorflow, ...(onnx ? ['--onnx-library', onnx.folder] : [])];
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
  const [onnx, tensorflow] = await Promise.all([onnxLines(enginesFolder(config)), tensorflowLines(config)]);
  return [...onnx, ...tensorflow];
}

async function onnxLines(folder: string): Promise<EngineLine[]> {
  const [used, installed] = await Promise.all([findOnnx(folder), listInstalled(folder, 'onnx')]);
  const own = { folder: undefined, version: onnxVersion(), from: 'package', problem: undefined } as const;
  return [own, ...installed.map(installedLine)].map((line) => ({
    engine: 'onnx',
    ...line,
    used: line.folder === used?.folder,
  }));
}

async function tensorflowLines(config: Config): Promise<EngineLine[]> {
  const search = searchOf(config);
  const [used, installed, inPython] = await Promise.all([
    findTensorFlow(search),
    listInstalled(search.enginesFolder, 'tensorflow'),
    findInPython(search.python, search.env),
  ]);
  const configured: FoundTensorFlow[] =
    search.configured === undefined ? [] : [{ folder: search.configured, from: 'setting', version: undefined }];
  const lines = [
    ...configured.map((found) => ({ ...found, problem: undefined })),
    ...installed.map(installedLine),
    ...(inPython ? [{ ...inPython, problem: undefined }] : []),
  ];
  return lines.map((found) => ({ engine: 'tensorflow', ...found, used: found.folder === used?.folder }));
}

function installedLine({ folder, version, cuda, whole }: InstalledEngine) {
  return {
    folder,
    from: 'installed' as const,
    version: cuda ? `${version} for CUDA` : version,
    problem: whole ? undefined : 'files are missing: install it again',
  };
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
export async function installOnThisMachine(
  install: EngineInstall,
  config: Config = loadConfig(),
): Promise<{ folder: string; version: string; before: boolean; used: boolean }> {
  const recipe = recipeOf(install);
  const env = config.training.baseEnv;
  const interpreter = await probeInterpreter(install.python ?? config.training.python, env);
  const { installed, before } = await installEngine(recipe, {
    enginesFolder: enginesFolder(config),
    python: interpreter.executable,
    env,
    onLine: install.onLine,
    signal: install.signal,
    tryOut: (folder) => tryOut(config, recipe.engine, folder),
  });
  const used =
    recipe.engine === 'onnx' ? await findOnnx(enginesFolder(config)) : await findTensorFlow(searchOf(config));
  return { folder: installed.folder, version: installed.version, before, used: used?.folder === installed.folder };
}

function recipeOf({ engine, version, cuda }: EngineInstall): Recipe {
  if (engine === 'tensorflow') return tensorflowRecipe(version ?? TENSORFLOW_VERSION, cuda);
  if (engine === 'onnx') return onnxRecipe(version ?? onnxVersion(), cuda);
  throw new AppError('invalid', `engine is "${engine}", expected tensorflow or onnx: no other has to be installed`);
}

/** Starts a model server with an engine's library from a folder, and ends it; rejects with the server's own words. */
async function tryOut(config: Config, engine: string, folder: string): Promise<void> {
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
      engineArgs: ['--engine', engine, `--${engine}-library`, folder],
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
