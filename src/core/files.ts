/**
 * Files by name in the project's blob store, beside its content-addressed blobs: what is written once and read by whoever
 * lists it. A file is whole from the moment it is listed; one that was being written when its writer died never is.
 */
export interface Files {
  /** Begins a file that nobody sees yet. */
  create(): Promise<FileDraft>;
  /** The files whose names begin with this folder, in the order of their names. */
  list(folder: string): Promise<FileEntry[]>;
  /** All of a file; `not_found` when it is not there. */
  read(name: string): Promise<Buffer>;
}

/** A file that is being written. Ends with `publish` or `discard`. */
export interface FileDraft {
  /** Adds bytes at its end. */
  append(bytes: Uint8Array): Promise<void>;
  /** Gives it its name, segments joined by "/". May be tried again when it fails. */
  publish(name: string): Promise<void>;
  /** Leaves nothing of it. */
  discard(): Promise<void>;
}

export interface FileEntry {
  readonly name: string;
  readonly bytes: number;
}
