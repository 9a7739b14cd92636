"""What becomes of vLLM's flags here: another name, what happens anyway, or a refusal with remedy.

Flags that both have under one name are no concern of this table. docs/configuration.md shows it.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import assert_never

from steeple_rpc.refused import SettingRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """The same under a name of ours."""

    ours: str
    note: str = ""
    """Where the meaning is not quite the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needless:
    """What it asks for is what happens anyway."""

    values: Sequence[str]
    """What it may ask for; none: it is a switch."""
    otherwise: str = ""
    """Why another value is refused, and the remedy."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It cannot be followed."""

    why: str
    """With the remedy."""


Fate = Renamed | Needless | Refused
_ONE_DEVICE = (
    "more than one device per model is not built yet: leave it out, or serve one engine each"
)
_NO_LORA = "adapters are not built yet: serve a model with the adapter merged into its weights"
_SEED = (
    "there is no seed of the server: give the seed in the request, and the same seed gives the same"
    " answer; without one, a fresh seed is drawn and told"
)

VLLM_FLAGS: Mapping[str, Fate] = {
    "--api-key": Refused(
        why="a key on the command line can be read by everyone on the machine: make one with"
        " `steeple token new` and pass --token-hashes FILE"
    ),
    "--chat-template": Refused(
        why="the template comes with the model: put it into its directory as chat_template.jinja"
    ),
    "--data-parallel-size": Needless(values=("1",), otherwise=_ONE_DEVICE),
    "--download-dir": Renamed(ours="--hub-cache", note="nothing is downloaded"),
    "--enable-chunked-prefill": Needless(values=(), note="continuous and spyre_chunked always do"),
    "--enable-lora": Refused(why=_NO_LORA),
    "--enable-prefix-caching": Renamed(ours="--prefix-caching"),
    "--enforce-eager": Needless(values=(), note="models run eagerly"),
    "--gpu-memory-utilization": Renamed(
        ours="--kv-cache-share",
        note="a share of the memory that the weights leave free, for the KV cache alone",
    ),
    "--kv-cache-memory-bytes": Renamed(ours="--kv-cache-bytes"),
    "--load-format": Needless(
        values=("auto", "safetensors"),
        otherwise="only safetensors are read: convert the model with transformers' save_pretrained",
    ),
    "--no-enable-chunked-prefill": Refused(
        why="the policies continuous and spyre_chunked always chunk prompts: for whole prompts pass"
        " --scheduler static or spyre_continuous"
    ),
    "--no-enable-prefix-caching": Renamed(ours="--no-prefix-caching"),
    "--num-gpu-blocks-override": Renamed(ours="--num-blocks"),
    "--pipeline-parallel-size": Needless(values=("1",), otherwise=_ONE_DEVICE),
    "--quantization": Refused(
        why="quantised weights are not built yet: serve the model in bfloat16 or float16"
    ),
    "--scheduling-policy": Needless(
        values=("fcfs", "priority"), note="by priority, and within it first come, first served"
    ),
    "--seed": Refused(why=_SEED),
    "--speculative-config": Refused(why="speculation is not built yet: leave it out"),
    "--ssl-ca-certs": Renamed(ours="--tls-client-ca", note="clients then need a certificate"),
    "--ssl-certfile": Renamed(ours="--tls-cert"),
    "--ssl-keyfile": Renamed(ours="--tls-key"),
    "--tensor-parallel-size": Needless(values=("1",), otherwise=_ONE_DEVICE),
    "--tokenizer": Refused(
        why="the tokenizer is the model's own: put its files into the model's directory"
    ),
    "--trust-remote-code": Refused(
        why="code that comes with a model is never run: serve a model of a known architecture"
        " (docs/models.md)"
    ),
    "-tp": Needless(values=("1",), otherwise=_ONE_DEVICE),
}


def translated(arguments: Sequence[str], *, own: AbstractSet[str]) -> list[str]:
    """The command line in our words, with all else as it was.

    Underscores in a flag's name become hyphens, as vLLM takes both.

    Args:
        arguments: without the program's name.
        own: flags that the program has itself, whatever they mean to vLLM.

    Raises:
        SettingRefused: a flag cannot be followed; names flag, reason and remedy.
    """
    said: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = _split(argument)
        fate = None if flag in own else VLLM_FLAGS.get(flag)
        match fate:
            case None:
                said.append(f"{flag}{equals}{value}")
            case Renamed():
                said.append(f"{fate.ours}{equals}{value}")
            case Needless():
                _check_needless(
                    flag, fate, asked=value if equals or not fate.values else next(rest, "")
                )
            case Refused():
                raise SettingRefused(f"{flag}: {fate.why}")
            case _:
                assert_never(fate)
    return said


def as_typed(message: str, arguments: Sequence[str]) -> str:
    """A message in the words of whoever typed `arguments`: with vLLM's flags for ours."""
    for flag in {_split(argument)[0] for argument in arguments}:
        fate = VLLM_FLAGS.get(flag)
        if isinstance(fate, Renamed):
            message = re.sub(rf"{fate.ours}(?![\w-])", flag, message)
    return message


def _split(argument: str) -> tuple[str, str, str]:
    """Flag, equals sign and value; what is no flag comes back whole."""
    if not argument.startswith("-"):
        return argument, "", ""
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-"), equals, value


def _check_needless(flag: str, fate: Needless, *, asked: str) -> None:
    if asked and not fate.values:
        raise SettingRefused(f"{flag}={asked}: it is a switch, and takes no value")
    if fate.values and asked not in fate.values:
        allowed = " or ".join(fate.values)
        reason = f": {fate.otherwise}" if fate.otherwise else ""
        raise SettingRefused(f"{flag} {asked}: it can only be {allowed}{reason}")
