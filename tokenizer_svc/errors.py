"""What ends the tokenizer service at start-up."""


class StartupError(Exception):
    """The service cannot serve what it was told to; the message names the file and the remedy.

    Ends the process with status 2: trying again without a change is useless.
    """
