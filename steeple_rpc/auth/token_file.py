"""The token table on disk, read again when it changes. A broken new file changes nothing."""

import asyncio
from pathlib import Path

from steeple_rpc.auth.token_table import TokensRefused, TokenTable, parse_table
from steeple_rpc.files import read_text, stamp_of
from steeple_rpc.refused import SettingRefused
from steeple_rpc.telemetry import logger

PERIOD_S = 1.0
MAX_FILE_BYTES = 4 << 20


class TokenFile:
    """Owns the table of the moment.

    Args:
        path: the file; read at once.
        period_s: seconds between two looks at it.

    Raises:
        TokensRefused: it cannot be read; names the file.
    """

    def __init__(self, path: Path, *, period_s: float = PERIOD_S) -> None:
        self._path = path
        self._period_s = period_s
        self._stamp = stamp_of(path)
        self._table = read_table(path)

    @property
    def table(self) -> TokenTable:
        """What the newest good file says."""
        return self._table

    async def follow(self) -> None:
        """Keep the table true until cancelled."""
        while True:
            await asyncio.sleep(self._period_s)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the file again if it is another one than last time.

        One that is broken or gone is told in one line, and the table stays: to shut everybody
        out, empty the file.
        """
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        # Taken before the reading: what is written meanwhile shows the next time.
        self._stamp = stamp
        try:
            self._table = read_table(self._path)
        except TokensRefused as error:
            logger().error("tokens_kept", detail=str(error))
        else:
            logger().info("tokens_read", num_tokens=len(self._table.records))


def read_table(path: Path) -> TokenTable:
    """The table in a file.

    Raises:
        TokensRefused: it cannot be read or is not of its form; names the file.
    """
    try:
        return parse_table(read_text(path, MAX_FILE_BYTES))
    except SettingRefused as error:
        raise TokensRefused(f"token hashes {path}: {error}") from error
