"""What ends the core at start-up."""


class StartupError(Exception):
    """The engine cannot serve what it was told to; the message names the remedy.

    Ends the process with status 2: trying again without a change is useless.
    """
