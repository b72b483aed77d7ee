/** TensorFlow computes inside operations with one pool of threads for all sessions of a process: the first one's. */
let first: number | undefined;

/** What is to be said of the threads that a session asked for; call once for each that was opened. */
export function threadNotes(intraOpNumThreads: number): readonly string[] {
  first ??= intraOpNumThreads;
  if (first === intraOpNumThreads) return [];
  return [
    `${intraOpNumThreads} threads inside an operation were asked for: TensorFlow goes on with the ${first} of this ` +
      "process's first model.",
  ];
}
