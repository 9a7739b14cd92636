"""The command line in this process, against services that are others."""

from typer.testing import CliRunner, Result

from steeple_cli.app import app


def steeple(*arguments: str, status: int = 0) -> Result:
    """What a command told; fails unless it ended with `status`."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result
