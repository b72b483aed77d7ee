"""Serves one Python model to the runtime that started this process, over the socket at file descriptor 3."""

import faulthandler
import os
import sys

from sluice_worker.serve import serve

CHANNEL = 3

if __name__ == "__main__":
    # a model imports its own modules and its environment's, and must not find this folder among them
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    # what the model prints is seen when it is printed, and where it was when native code crashed
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable()
    sys.exit(serve(CHANNEL))
