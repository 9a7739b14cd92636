"""The `steeple` command: one module per subcommand, one line each here."""

import sys

import typer

from steeple_cli.bench import bench
from steeple_cli.chat import chat
from steeple_cli.demo import demo
from steeple_cli.doctor import doctor
from steeple_cli.generate import generate
from steeple_cli.models import models
from steeple_cli.plan import plan
from steeple_cli.serve import ServeCommand, serve
from steeple_cli.serve_defaults import PREFIX
from steeple_cli.tokens import token
from steeple_cli.top import top
from steeple_cli.version import steeple
from steeple_cli.wait import wait

app = typer.Typer(
    name="steeple",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.callback()(steeple)
app.command(cls=ServeCommand, context_settings={"auto_envvar_prefix": PREFIX})(serve)
for command in (plan, demo, wait, generate, chat, doctor, models, top):
    app.command()(command)
app.add_typer(bench, name="bench")
app.add_typer(token, name="token")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output is gone; there is nobody to tell.
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
