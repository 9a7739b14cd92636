"""`steeple serve`: everything with one command."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from steeple_cli.conventions.ending import end
from steeple_cli.conventions.exits import USAGE_ERROR
from steeple_cli.conventions.help import Command
from steeple_cli.conventions.option import with_options
from steeple_cli.locating.model_missing import ModelNotFound
from steeple_cli.locating.model_path import find_model, name_of
from steeple_cli.serving.child import ChildRefused
from steeple_cli.serving.console import ServeConsole
from steeple_cli.serving.current_folder import check_current_folder
from steeple_cli.serving.defaults import PREFIX, check_variables, file_defaults, place_of
from steeple_cli.serving.options import OPTIONS, arguments_of
from steeple_cli.serving.plan import ServePlan, in_our_words
from steeple_cli.serving.printed import printed
from steeple_cli.serving.supervisor import Supervisor
from steeple_rpc.errors import ServiceError
from steeple_rpc.refused import SettingRefused
from steeple_rpc.vllm_flags import as_typed, translated

_DEMO = "demo"
_Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="directory, or org/name in the hub cache; default: the demo model"
    ),
]


class ServeCommand(Command):
    """Takes vLLM's flags and a file, too; keeps what was typed as the context's object."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # of typer's private click
        """See click. What cannot be followed is told in one line and ends the process with 2."""
        ctx.obj = tuple(args)
        own = {flag for parameter in self.params for flag in parameter.opts}
        try:
            said = translated(args, own=own)
            check_variables(os.environ)
            ctx.default_map = file_defaults(said, os.environ)
            return super().parse_args(ctx, said)
        except SettingRefused as error:
            end(USAGE_ERROR, str(error))
        except typer.BadParameter as error:
            if place := _place(ctx, error):
                end(USAGE_ERROR, f"{place}: {error.message}")
            raise


def _place(ctx: Any, error: typer.BadParameter) -> str | None:  # ctx: of typer's private click
    """Where a value stands that cannot be used; None = on the command line."""
    if error.param is None or error.param.name is None:
        return None
    source = ctx.get_parameter_source(error.param.name)
    return place_of(error.param.name, source.name, ctx.obj, os.environ) if source else None


def _serve(context: typer.Context, named: _Model = None, **given: Any) -> None:  # typer's values
    """Serve a model: gateway, tokenizer service and engine service.

    Until Ctrl-C or SIGTERM. Counts and sizes may be written as 32k or 4GiB.

    vLLM's flags are taken, too; see docs/configuration.md.
    """
    try:
        plan = plan_of(named, given)
        if given["print_config"]:
            told = {**given, "model": _one_model(named, given["model"])}
            sys.stdout.write(asyncio.run(printed(plan, told)))
        else:
            console = ServeConsole(level=given["log_level"].value, as_json=given["log_json"])
            asyncio.run(Supervisor(plan, console).run())
    except ChildRefused as error:
        end(USAGE_ERROR, as_typed(in_our_words(str(error)), context.obj))
    except (ModelNotFound, ServiceError) as error:
        end(USAGE_ERROR, str(error))


serve = typer.Typer(add_completion=False)
serve.command(cls=ServeCommand, context_settings={"auto_envvar_prefix": PREFIX})(
    with_options(_serve, [one.parameter(name) for name, one in OPTIONS.items()])
)


def plan_of(named: str | None, given: Mapping[str, Any]) -> ServePlan:  # typer's values
    """The deployment that the command line asks for.

    Args:
        named: the model, if it was named without an option.
        given: the value of every option, by name.

    Raises:
        ModelNotFound: there is no such model here.
        SettingRefused: two are named, or the folder from which it is asked for is gone.
    """
    check_current_folder()
    model = _one_model(named, given["model"])
    directory = find_model(model, revision=given["revision"], hub_cache=given["hub_cache"])
    name = _DEMO if model is None else name_of(model, directory)
    host, port = given["host"], given["port"]
    return ServePlan(
        model_dir=directory,
        model_name=given["served_model_name"] or name,
        listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        grace_s=given["grace"],
        startup_timeout_s=given["startup_timeout"],
        log_level=given["log_level"].value,
        metrics_port=given["metrics_port"],
        config=given["config"],
        arguments=arguments_of(given),
    )


def _one_model(named: str | None, by_option: str | None) -> str | None:
    """The model, which two ways of telling lead to.

    Raises:
        SettingRefused: they tell two.
    """
    if named is not None and by_option is not None and named != by_option:
        raise SettingRefused(f"two models are named, {named} and --model {by_option}: drop one")
    return by_option if named is None else named
