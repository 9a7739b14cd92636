"""Why there is no model to serve."""


class ModelNotFound(Exception):
    """The files of a model are not here, or not all of them; the message says what to do."""
