"""What ends the core at start-up."""

_MAX_SHOWN = 600
_MAX_TAIL = 150


class StartupError(Exception):
    """The engine cannot serve what it was told to; the message names the remedy.

    Ends the process with status 2: trying again without a change is useless. As text it is one
    line, not too long, of printable characters, whatever a file of the model's maker made it quote.
    """

    def __str__(self) -> str:
        message = super().__str__()
        if not message.isprintable():
            message = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in message)
        if len(message) <= _MAX_SHOWN:
            return message
        # The remedy is at the end.
        return f"{message[: _MAX_SHOWN - _MAX_TAIL]}…{message[-_MAX_TAIL:]}"
