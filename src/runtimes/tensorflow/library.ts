/** Finds TensorFlow's shared library in a folder and loads it, once in a process. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import { AppError, messageOf } from '../../errors.js';
import { importKoffi } from '../foreign.js';
import { type Api, bindApi } from './api.js';

/** Where the library lies below the folder: as the Python package has it, and as the archive for C has it. */
const PLACES = [
  'tensorflow/libtensorflow_cc.so.2',
  'libtensorflow_cc.so.2',
  'lib/libtensorflow.so.2',
  'libtensorflow.so.2',
  'tensorflow/libtensorflow_cc.2.dylib',
  'libtensorflow_cc.2.dylib',
  'lib/libtensorflow.2.dylib',
  'libtensorflow.2.dylib',
];

const INSTALL = '`sluice engines install tensorflow` installs it';

/** The library of this process: a second copy in one process would register everything twice. */
let opened: { readonly file: string; readonly api: Promise<Api> } | undefined;

/** Loads the library below `folder`; `not_ready`, and how to install it, when it is not there or cannot be loaded. */
export async function openLibrary(folder: unknown): Promise<Api> {
  const file = findLibrary(folder);
  if (opened && opened.file !== file) {
    throw new AppError('unsupported', `this process uses TensorFlow's library "${opened.file}", not "${file}"`);
  }
  opened ??= { file, api: load(file) };
  try {
    return await opened.api;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

function findLibrary(folder: unknown): string {
  if (typeof folder !== 'string' || folder === '') {
    throw new AppError('not_ready', `TensorFlow's library is not installed on this machine: ${INSTALL}`);
  }
  const file = PLACES.map((place) => join(folder, place)).find((path) => existsSync(path));
  if (file !== undefined) return file;
  throw new AppError('not_ready', `there is no library of TensorFlow in "${folder}": ${INSTALL}`, {
    details: { folder, lookedFor: PLACES },
  });
}

async function load(file: string): Promise<Api> {
  const ffi = await importKoffi();
  const own = ffi.load(null);
  try {
    const library = quietly(own, () => ffi.load(file, { lazy: true }));
    return bindApi(ffi, library, own);
  } catch (error) {
    throw new AppError('not_ready', `TensorFlow's library "${file}" cannot be loaded: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * Loads without TensorFlow's talk on stderr. Its log level is read from the environment of the C library, once; what it
 * says before that, while it is being loaded, goes to /dev/null. What fails is returned by its functions as well.
 */
function quietly<T>(own: LibraryHandle, work: () => T): T {
  const setenv = own.func('int setenv(const char *name, const char *value, int overwrite)');
  const open = own.func('int open(const char *path, int flags)');
  const [dup, close] = [own.func('int dup(int file)'), own.func('int close(int file)')];
  const dup2 = own.func('int dup2(int from, int to)');
  setenv('TF_CPP_MIN_LOG_LEVEL', '3', 0);
  const [nowhere, stderr] = [open('/dev/null', WRITE_ONLY), dup(2)];
  if (nowhere >= 0 && stderr >= 0) dup2(nowhere, 2);
  try {
    return work();
  } finally {
    if (nowhere >= 0 && stderr >= 0) dup2(stderr, 2);
    for (const file of [nowhere, stderr]) if (file >= 0) close(file);
  }
}

const WRITE_ONLY = 1;
