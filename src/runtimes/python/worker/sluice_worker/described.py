"""What the runtime is told of a loaded model, and how it is asked."""

from dataclasses import dataclass, field

from . import Unsupported

# the name of an output that the model itself does not name, as other servers of the protocol have it
OUTPUT = "output-0"
# the same for an input
INPUT = "input-0"


@dataclass
class Described:
    """The base of the kinds of models. A spec is {"name", "datatype", "shape"}, -1 for a variable dimension."""

    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    # the model takes more than `inputs` says, or they say nothing: it looks at what comes itself
    open: bool = False
    # the first axis of every input and output is a batch of any size
    batchable: bool = False
    device: str = "cpu"
    notes: list = field(default_factory=list)
    # BF16 inputs come as float32: for libraries that do not know the type
    widen: bool = True
    # datatypes that the answers must have, by name; for models whose author declared them
    promised: dict = field(default_factory=dict)

    def predict(self, inputs, wanted):
        """Answers arrays by name to arrays by name; `wanted` are the outputs asked for, or None."""
        raise NotImplementedError

    def explain(self, inputs, wanted):
        raise Unsupported("this model explains nothing: it has no explain")


def spec(name, datatype, shape):
    return {"name": name, "datatype": datatype, "shape": list(shape)}
