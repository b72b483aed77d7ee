"""The worker's life: one load, then one request after the other until the channel ends."""

import gc
import os
import platform
import traceback

from . import InvalidInput, Unsupported, lifeline
from .channel import Channel
from .kinds import load

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def serve(descriptor):
    """Serves the channel at this file descriptor; the exit code."""
    lifeline.tie(descriptor)
    channel = Channel(descriptor)
    message = channel.receive()
    if message is None:
        return 0
    request, _ = message
    # before any numeric library is imported: they look once
    for name in THREADS:
        os.environ[name] = str(request["threads"])
    try:
        model = load(request["path"], request["threads"])
        channel.send(_loaded(model))
    except BaseException as error:
        channel.send(_failure(error, "invalid"))
        return 1
    from . import tensors

    # what is there now stays: no collection needs to look at it again
    gc.collect()
    gc.freeze()
    while (message := channel.receive()) is not None:
        try:
            head, parts = _answer(model, tensors, *message)
        # a model that calls sys.exit() has failed, and goes on serving
        except BaseException as error:
            head, parts = _failure(error, "internal"), ()
        channel.send(head, parts)
    return 0


def _loaded(model):
    import numpy

    versions = f"Python {platform.python_version()}, numpy {numpy.__version__}"
    return {
        "kind": "loaded",
        "inputs": model.inputs,
        "outputs": model.outputs,
        "open": model.open,
        "batchable": model.batchable,
        "device": model.device,
        "notes": [versions, *model.notes],
    }


def _answer(model, tensors, request, body):
    inputs = tensors.decode(request["inputs"], body, model.widen)
    wanted = request["outputs"]
    verb = model.explain if request["kind"] == "explain" else model.predict
    results = verb(inputs, wanted)
    # an explanation is none of the outputs that the signature promises
    promised = {} if request["kind"] == "explain" else model.promised
    names = _choose(results, wanted, promised)
    encoded = [tensors.encode(name, results[name], promised.get(name)) for name in names]
    return {"kind": "result", "outputs": [each for each, _ in encoded]}, [part for _, part in encoded]


def _choose(results, wanted, promised):
    """The names to answer: those asked for, else those that are promised, else all."""
    names = wanted or list(promised) or list(results)
    for name in names:
        if name in results:
            continue
        if wanted and name not in promised:
            raise InvalidInput(f'the model has no output "{name}"; it gave {_list(results)}')
        raise KeyError(f'the model gave no output "{name}", which its signature promises; it gave {_list(results)}')
    return names


def _list(names):
    return ", ".join(f'"{name}"' for name in names)


def _failure(error, code):
    if isinstance(error, InvalidInput):
        code, message = "invalid", str(error)
    elif isinstance(error, Unsupported):
        code, message = "unsupported", str(error)
    else:
        message = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, ModuleNotFoundError):
        message += " (is it among the model's requirements?)"
    return {"kind": "failed", "code": code, "message": message[:4000], "traceback": traceback.format_exc()[-20000:]}
