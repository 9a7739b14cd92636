"""Why a process cannot start with its settings."""

from steeple_rpc.errors import ServiceError


class SettingRefused(ServiceError):
    """What a setting names cannot be used; the message names it and the remedy.

    It is told to who starts the process, in one line with status 2; no caller ever sees it.
    """

    default_reason = "SETTING_REFUSED"


class TlsRefused(SettingRefused):
    """A certificate or key cannot be used; the message names the file, never what is in it."""

    default_reason = "TLS_REFUSED"
