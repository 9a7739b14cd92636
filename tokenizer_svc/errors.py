"""What ends the tokenizer service at start-up."""

from steeple_rpc.refused import SettingRefused


class StartupError(SettingRefused):
    """The service cannot serve what it was told to; the message names the file and the remedy.

    Ends the process with status 2: trying again without a change is useless.
    """

    default_reason = "STARTUP_REFUSED"
