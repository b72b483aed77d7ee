/** Scripts of training jobs that both kinds of jobs on a cluster run. */

/** Saves when it is told to stop. */
export const SAVES = `import os, signal, sys, time
def save(*_):
    open(os.path.join(os.environ["SLUICE_CHECKPOINT_DIR"], "saved"), "w").write("x")
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(60)
`;
