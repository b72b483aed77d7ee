/**
 * Says in words how a script ended that did not end well. `lastError` is the last line it wrote to stderr, or empty.
 * A code above 128 is a shell's way to pass on that its program was killed by the signal `code - 128`.
 */
export function exitWords(code: number | null, signal: NodeJS.Signals | null, lastError: string): string {
  const said = lastError === '' ? '' : `: ${lastError}`;
  if (signal !== null) return `the script was killed by ${signal}${meaningOf(signal)}${said}`;
  const passedOn = BY_CODE[code ?? 0];
  if (passedOn) return `the script ended with exit code ${code} (killed by ${passedOn}${meaningOf(passedOn)})${said}`;
  if (code === 127) return `the script ended with exit code 127 (a program was not found)${said}`;
  if (code === 126) return `the script ended with exit code 126 (a program could not be run)${said}`;
  return `the script ended with exit code ${code}${said}`;
}

const BY_CODE: Readonly<Record<number, NodeJS.Signals>> = {
  129: 'SIGHUP',
  130: 'SIGINT',
  132: 'SIGILL',
  134: 'SIGABRT',
  135: 'SIGBUS',
  136: 'SIGFPE',
  137: 'SIGKILL',
  139: 'SIGSEGV',
  143: 'SIGTERM',
  152: 'SIGXCPU',
};

const MEANING: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGKILL: 'perhaps the machine ran out of memory',
  SIGSEGV: 'a native library accessed memory that is not its own',
  SIGABRT: 'a native library gave up',
  SIGILL: 'a native library needs a CPU instruction that this machine lacks',
  SIGBUS: 'a memory-mapped file was cut, or shared memory ran out',
  SIGTERM: 'something asked it to stop',
};

function meaningOf(signal: NodeJS.Signals): string {
  const meaning = MEANING[signal];
  return meaning === undefined ? '' : `, ${meaning}`;
}
