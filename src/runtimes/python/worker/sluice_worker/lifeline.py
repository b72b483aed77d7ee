"""Ties this process to the one that started it: neither it nor what it started in its group outlives the runtime."""

import ctypes
import os
import select
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
# how long an orderly exit may take once the channel is closed
GRACE_SEC = 2.0


def tie(descriptor):
    """Ends the process group when the other end of `descriptor` is gone, whatever the model is doing."""
    if sys.platform == "linux":
        # also reaches a process whose native code never lets another thread run
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(descriptor,), name="sluice-lifeline", daemon=True).start()


def _watch(descriptor):
    hangup = select.poll()
    hangup.register(descriptor, 0)
    hangup.poll()
    time.sleep(GRACE_SEC)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
