/**
 * A folder that becomes a layer: what is put into it has the same modes on every machine, and programs bring the shared
 * libraries that they load.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** Below these a Debian system has links to /usr; so have the images. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

export class RootFolder {
  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'sluice-root-'));
    chmodSync(this.path, 0o755);
    // also when what fills it fails
    process.once('exit', () => rmSync(this.path, { recursive: true, force: true }));
  }

  /** Where an absolute path of the image lies on this machine. */
  at(path) {
    const [, first] = path.split('/');
    return join(this.path, MERGED.includes(first) ? `/usr${path}` : path);
  }

  folder(path, mode = 0o755) {
    const there = this.at(path);
    for (let each = there; each.length > this.path.length && !existsSync(each); each = dirname(each)) {
      mkdirSync(each, { recursive: true });
    }
    for (let each = there; each.length > this.path.length; each = dirname(each)) {
      chmodSync(each, each === there ? mode : 0o755);
    }
    return there;
  }

  text(path, content, mode = 0o644) {
    this.folder(dirname(path));
    writeFileSync(this.at(path), content);
    chmodSync(this.at(path), mode);
  }

  /** One file; a link is followed. */
  file(source, path) {
    this.folder(dirname(path));
    copyFileSync(source, this.at(path));
    chmodSync(this.at(path), statSync(source).mode & 0o100 ? 0o755 : 0o644);
  }

  link(target, path) {
    this.folder(dirname(path));
    symlinkSync(target, this.at(path));
  }

  /** A folder with all below it. `keep`: which files, by their path within it. Folders without any are left out. */
  tree(source, path, keep = () => true, within = '') {
    for (const name of readdirSync(join(source, within)).sort()) {
      const inside = join(within, name);
      const from = join(source, inside);
      const stat = lstatSync(from);
      if (stat.isDirectory()) this.tree(source, path, keep, inside);
      else if (!keep(inside)) continue;
      else if (stat.isSymbolicLink() && !readlinkSync(from).startsWith('/')) {
        this.link(readlinkSync(from), join(path, inside));
      } else this.file(from, join(path, inside));
    }
  }

  /** A program of this machine, and what it loads. */
  program(source, path) {
    this.file(realpathSync(source), path);
    this.libraries([realpathSync(source)]);
  }

  /**
   * The shared libraries that these files load, but for those that come with them (`own`: a folder). All go where the
   * loader looks by itself, so that the images need neither its cache nor LD_LIBRARY_PATH.
   */
  libraries(files, own) {
    for (const [name, source] of librariesOf(files, own)) {
      if (own !== undefined && source.startsWith(`${own}/`)) continue;
      const path = name.startsWith('ld-') ? `/lib64/${name}` : `${LIBRARIES}/${name}`;
      if (!existsSync(this.at(path))) this.file(source, path);
    }
  }

  /** Takes out of the files what only debuggers read, where this machine has `strip`. */
  strip(path) {
    try {
      execFileSync('strip', ['--strip-unneeded', this.at(path)], { stdio: 'ignore' });
    } catch {
      // larger, and as good
    }
  }
}

/** Where the loader looks by itself. */
export const LIBRARIES = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;

/** By the name it is asked for → the file, of all that the files load, directly or not. */
function librariesOf(files, own) {
  const found = new Map();
  // one that another file's search path leads to is loaded by the time that it is asked for
  const beside = new Set(own === undefined ? [] : files.map((file) => basename(file)));
  for (let at = 0; at < files.length; at += 100) {
    for (const line of ldd(files.slice(at, at + 100)).split('\n')) {
      const [, name, path] = /^\s+(\S+)(?: => (\S+))? \(0x[0-9a-f]+\)$/.exec(line) ?? [];
      if (path !== undefined) found.set(name, realpathSync(path));
      // the loader itself has no arrow
      else if (name?.startsWith('/')) found.set(basename(name), realpathSync(name));
      else if (line.includes('not found') && !beside.has(line.trim().split(' ')[0])) {
        throw new Error(`a library is missing on this machine: ${line.trim()}`);
      }
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function ldd(files) {
  try {
    return execFileSync('ldd', files, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch (error) {
    // one of them that is static makes it fail, and the others are listed all the same
    return String(error.stdout ?? '');
  }
}
