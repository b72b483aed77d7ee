"""The worker side of Sluice's Python runtime. A model needs nothing of it but, if it likes, `InvalidInput`."""


class InvalidInput(Exception):
    """What a model raises for inputs that only it can find wrong: the client gets a 400 with these words."""


class Unsupported(Exception):
    """What a model cannot do at all, such as explain."""
