/** Finds ONNX Runtime's shared library and opens it, once in a process. */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import { AppError, messageOf } from '../../errors.js';
import { importKoffi, type Native, offThread, type Pointer } from '../foreign.js';
import { type Api, bindApi } from './api.js';
import { addressFrom } from './status.js';

/** The library of this process, and what all its sessions share. */
export interface OrtLibrary {
  readonly api: Api;
  readonly env: Pointer;
  readonly allocator: Pointer;
  /** OrtMemoryInfo of the processor's memory. */
  readonly cpuMemory: Pointer;
  /** The folder that it lies in, and beside it the libraries of its execution providers. */
  readonly folder: string;
  /** Loads another library into the process, to stay; whether it could be loaded. */
  readonly preload: (file: string) => Promise<boolean>;
  /** Gives freed memory back to the system, where the C library has a function for it. */
  readonly trim: (() => Promise<void>) | undefined;
}

const handles: LibraryHandle[] = [];

/** A second copy in one process would share the first one's symbols. */
let opened: { readonly file: string; readonly library: Promise<OrtLibrary> } | undefined;

/**
 * Opens the library below `folder`, as `sluice engines install onnx` makes it; undefined: the one that comes with the
 * package onnxruntime-node, of which nothing else is used. `not_ready` when it is not there or cannot be loaded.
 */
export async function openLibrary(folder: unknown): Promise<OrtLibrary> {
  const file = typeof folder === 'string' ? findInstalled(folder) : findInPackage();
  if (opened && opened.file !== file) {
    throw new AppError('unsupported', `this process uses ONNX Runtime's library "${opened.file}", not "${file}"`);
  }
  opened ??= { file, library: load(file) };
  try {
    return await opened.library;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

/** Where the Python package has it. */
const INSTALLED = 'onnxruntime/capi';
const NAME = /^(libonnxruntime\.so(\.\d+)*|libonnxruntime(\.\d+)*\.dylib)$/;

function findInstalled(folder: string): string {
  const file = libraryIn(join(folder, INSTALLED));
  if (file !== undefined) return file;
  throw new AppError('not_ready', `there is no library of ONNX Runtime in "${folder}"`, {
    details: { folder, lookedFor: INSTALLED },
  });
}

function findInPackage(): string {
  const { platform, arch } = process;
  const root = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')), 'bin');
  // named for the version of Node's interface that the package's own binding is for
  for (const version of readdirSync(root)) {
    const file = libraryIn(join(root, version, platform, arch));
    if (file !== undefined) return file;
  }
  throw new AppError('not_ready', `the package onnxruntime-node has no library for ${platform} on ${arch}`, {
    details: { platform, arch },
  });
}

function libraryIn(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const name = readdirSync(folder)
    .sort()
    .find((candidate) => NAME.test(candidate));
  return name === undefined ? undefined : join(folder, name);
}

/** What libraries say goes to stderr: from "fatal" on, and failures are returned by the functions as well. */
const LOG_FATAL = 4;
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;
const RTLD_LAZY = 1;

async function load(file: string): Promise<OrtLibrary> {
  const koffi = await importKoffi();
  const own = koffi.load(null);
  try {
    const handle = koffi.load(file, { lazy: true });
    // the library goes with its handle, and the functions out of its table do not hold it
    handles.push(handle);
    const api = bindApi(koffi, handle, own);
    if (!api) throw new AppError('not_ready', 'it is older than version 1.18');
    const dlopen = own.func('dlopen', 'void *', ['const char *', 'int']) as Native<[string, number], Pointer | null>;
    return {
      api,
      env: addressFrom(api, (out) => api.createEnv(LOG_FATAL, 'sluice', out)),
      allocator: addressFrom(api, (out) => api.defaultAllocator(out)),
      cpuMemory: addressFrom(api, (out) => api.cpuMemoryInfo(DEVICE_ALLOCATOR, DEFAULT_MEMORY, out)),
      folder: dirname(file),
      preload: async (other) => (await offThread(dlopen, other, RTLD_LAZY)) !== null,
      trim: trimmer(own),
    };
  } catch (error) {
    throw new AppError('not_ready', `ONNX Runtime's library "${file}" cannot be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** glibc keeps what is freed, above all what other threads allocated: a model's memory came back with this call alone. */
function trimmer(own: LibraryHandle): OrtLibrary['trim'] {
  let trim: Native<[keep: number], number>;
  try {
    trim = own.func('malloc_trim', 'int', ['size_t']) as Native<[keep: number], number>;
  } catch {
    return undefined;
  }
  return async () => void (await offThread(trim, 0));
}
