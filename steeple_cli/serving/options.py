"""The options of `steeple serve`: one line each, and which service it is for.

What is for a service is passed on as it was typed: the service knows its default and checks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

from steeple_cli.conventions.option import option, switch
from steeple_rpc.config_file import CONFIG_VARIABLE


class Level(Enum):
    """Least severe log line that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOption:
    """One option: who reads it, and how the command line takes it."""

    text: str
    services: Sequence[str] = ()
    """Whose setting of the same name it is; none: `steeple serve`'s own."""
    group: str = ""
    kind: Any = str  # a type, or a union of types, as typer takes it
    default: object = None
    how: Mapping[str, Any] = field(default_factory=dict)  # what else typer takes

    def parameter(self, name: str) -> Parameter:
        """What typer makes the option of."""
        flag = f"--{name.replace('_', '-')}"
        # A switch whose default is known needs no second name.
        names = () if self.kind is not bool or self.default is None else (flag,)
        make = switch if self.kind is bool else option
        shown = make(self.text, self.group, *names, show_envvar=False, **self.how)
        kind = self.kind if self.default is not None else self.kind | None
        return Parameter(
            name, Parameter.KEYWORD_ONLY, default=self.default, annotation=Annotated[kind, shown]
        )


def engine(text: str, metavar: str = "<str>") -> ServeOption:
    """A setting of the engine service."""
    return ServeOption(text=text, services=("engine",), how={"metavar": metavar})


def engine_switch(text: str) -> ServeOption:
    """A setting of the engine service that is on or off."""
    return ServeOption(text=text, services=("engine",), kind=bool)


def gateway(text: str, metavar: str = "<str>") -> ServeOption:
    """A setting of the gateway."""
    return ServeOption(text=text, services=("gateway",), how={"metavar": metavar})


def each(text: str, *, kind: type = str, default: object = None) -> ServeOption:
    """A setting of all three services."""
    services = ("gateway", "tokenizer", "engine")
    return ServeOption(text=text, services=services, kind=kind, default=default)


def own(text: str, kind: type = str, default: object = None, **how: Any) -> ServeOption:
    """Read by `steeple serve` itself."""
    return ServeOption(text=text, kind=kind, default=default, how=how)


def _in(group: str, **options: ServeOption) -> Mapping[str, ServeOption]:
    return {name: replace(one, group=group) for name, one in options.items()}


_PORT = {"min": 1, "max": 65535, "metavar": "<int>"}
_METRICS_PORT = {"min": 0, "max": 65533, "metavar": "<int>"}

OPTIONS: Mapping[str, ServeOption] = {
    **_in(
        "Model",
        model=own("the same as MODEL", hidden=True),
        served_model_name=own("name on the wire; default: the directory's"),
        revision=own("branch, tag or commit in the hub cache; default: main"),
        hub_cache=own("the hub cache; default: as HF_HUB_CACHE and HF_HOME say", Path),
        dtype=engine("auto, float32, bfloat16 or float16"),
        runner=engine("fms, or fake (no weights)"),
    ),
    **_in(
        "Batches",
        max_model_len=engine("longest prompt + output", "<n>"),
        max_num_seqs=engine("most requests in one step", "<n>"),
        max_num_batched_tokens=engine("most tokens in one step, or in a chunk", "<n>"),
        default_max_tokens=engine("cap on max_tokens where a request leaves it unset", "<n>"),
        scheduler=engine("continuous, static, spyre_continuous or spyre_chunked"),
    ),
    **_in(
        "Batching policy",
        warmup_shapes=engine("static: prompt, new, batch: 64:20:4,128:20:2"),
        join=engine("spyre_continuous: wait or shift"),
        max_batch_tkv=engine("spyre_*: most of rows x KV length", "<n>"),
        min_decode_rows=engine("spyre_*: fewest rows of a decode; 2 for FP8", "<n>"),
        interleave=engine_switch("spyre_chunked: decode between two chunks"),
        over_limit=engine("spyre_chunked: pause or look-ahead"),
        pause_order=engine("spyre_chunked: fewest-first or most-first"),
        prefix_caching=engine_switch("continuous, spyre_chunked: reuse prefixes"),
    ),
    **_in(
        "Memory and compute",
        block_size=engine("tokens per KV block", "<n>"),
        kv_cache_bytes=engine("memory of the KV cache", "<n>"),
        kv_cache_share=engine("the same as a share of the free memory", "<float>"),
        num_blocks=engine("the same as a number of blocks", "<n>"),
        device=engine("torch device"),
        num_threads=engine("compute threads; default: cores - 1", "<n>"),
    ),
    **_in(
        "Service",
        host=own("where the gateway listens", default="127.0.0.1"),
        port=own("the gateway's port", int, 50051, **_PORT),
        insecure_bind=each("allow plaintext beyond loopback", kind=bool, default=False),
        metrics_port=own("of the gateway; the next two: the others'", int, **_METRICS_PORT),
        otlp_endpoint=each("traces go to this OTLP receiver"),
        grace=own("seconds for requests to end", float, 30.0),
        startup_timeout=own("seconds until ready at most", float, 600.0),
        config=own("TOML file: [serve] and a table per service", Path, envvar=CONFIG_VARIABLE),
        print_config=own("print every setting as TOML", bool, default=False),
        log_level=own("debug, info, warning or error", Level, Level.WARNING, metavar="<level>"),
        log_json=own("log lines as JSON", bool, default=False),
    ),
    **_in(
        "Access",
        tls_cert=gateway("serve TLS with this certificate (PEM)", "<path>"),
        tls_key=gateway("its key (PEM)", "<path>"),
        tls_client_ca=gateway("mutual TLS: who vouches for clients", "<path>"),
        token_hashes=gateway("see steeple token; callers need one", "<path>"),
        max_share=gateway("part of the places per principal", "<float>"),
    ),
}


def arguments_of(given: Mapping[str, object]) -> Mapping[str, Sequence[str]]:
    """What goes on to each service, by its name: whatever was given for it.

    Args:
        given: every option's value, by its name; None = not given.
    """
    passed: dict[str, list[str]] = {}
    for name, one in OPTIONS.items():
        value = given[name]
        if value is not None and value != one.default:
            for service in one.services:
                passed.setdefault(service, []).append(_argument(name, value))
    return passed


def _argument(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"
