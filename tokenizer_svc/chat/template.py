"""A model's chat template: compiled once, rendered within limits.

Only templates from the model's own directory come here, never a caller's.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace

from steeple_rpc.errors import InvalidRequest
from tokenizer_svc.chat.template_meter import Meter, RenderLimits, TemplateLimit
from tokenizer_svc.chat.template_sandbox import MeteredEnvironment
from tokenizer_svc.errors import StartupError

# JSON values of callers and templates: any shape.
Json = Any

MAX_MESSAGE_CHARS = 500
MAX_SOURCE_CHARS = 1 << 20
_MAX_JSON_STYLE = 16
_MAX_TIME_FORMAT = 64


class _Raised(Exception):
    """The template itself refused the conversation."""


class ChatTemplate:
    """Renders conversations.

    Args:
        source: the template.
        local_time: what `strftime_now` tells.

    Raises:
        StartupError: it cannot be compiled, or reads other templates.
    """

    def __init__(self, source: str, local_time: Callable[[], datetime]) -> None:
        def strftime_now(form: str) -> str:
            return local_time().strftime(_checked_time_format(form))

        functions: dict[str, Callable[..., Json]] = {
            "dict": _new_dict,
            "namespace": _TemplateNamespace,
            "raise_exception": _raise_exception,
            "strftime_now": strftime_now,
        }
        self._environment = MeteredEnvironment(functions, {"tojson": _to_json})
        try:
            tree = _checked_tree(self._environment, source)
            code = self._environment.compile(self._environment.metered(tree))
        except (TemplateError, RecursionError) as error:
            raise StartupError(f"the chat template is invalid: {error}") from error
        self._template = self._environment.template_class.from_code(
            self._environment, code, self._environment.make_globals(None)
        )

    def render(self, variables: Mapping[str, Json], limits: RenderLimits) -> str:
        """Render; runs for at most about `limits.max_cpu_s`, so not on an event loop.

        Raises:
            InvalidRequest: reason TEMPLATE_FAILED.
        """
        meter = Meter(limits)
        self._environment.use(meter)
        try:
            return self._joined(variables, meter)
        except _Raised as error:
            raise _failure(f"the model's chat template says: {error}") from error
        except TemplateLimit as error:
            raise _failure(str(error)) from error
        except SecurityError as error:
            raise _failure("the model's chat template does what no template may do") from error
        except Exception as error:
            # Templates are programs of the model's maker: they fail with any exception there is.
            raise _failure("the model's chat template cannot render this conversation") from error

    def _joined(self, variables: Mapping[str, Json], meter: Meter) -> str:
        chunks: list[str] = []
        num_chars = 0
        for chunk in self._template.generate(variables):
            chunks.append(chunk)
            num_chars += len(chunk)
            meter.check_result(num_chars)
        return "".join(chunks)


def _checked_tree(environment: MeteredEnvironment, source: str) -> nodes.Template:
    if len(source) > MAX_SOURCE_CHARS:
        raise StartupError(f"the chat template has more than {MAX_SOURCE_CHARS} characters")
    tree = environment.parse(source)
    kinds = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
    if next(tree.find_all(kinds), None) is not None:
        raise StartupError("the chat template reads other templates; make it a single one")
    return tree


def _failure(message: str) -> InvalidRequest:
    return InvalidRequest(message, reason="TEMPLATE_FAILED", field="messages")


def _raise_exception(message: object) -> NoReturn:
    raise _Raised(str(message)[:MAX_MESSAGE_CHARS])


def _new_dict(*args: Json, **kwargs: Json) -> dict[Json, Json]:
    """`dict`, as a function: the type itself is not for templates."""
    return dict(*args, **kwargs)


class _TemplateNamespace(Namespace):
    """`namespace`, without the names that Python gives a meaning to."""

    def __init__(*args: Json, **kwargs: Json) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Json) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or name.startswith("_"):
        raise SecurityError("names in a namespace may not start with an underscore")


def _checked_time_format(form: str) -> str:
    """The C library pads to any width that is asked for."""
    if len(form) > _MAX_TIME_FORMAT or re.search(r"%[^a-zA-Z%]*\d", form):
        raise TemplateLimit("the model's chat template asks for too much padding")
    return form


def _to_json(
    value: Json,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - called by templates, by place too
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - likewise
) -> str:
    """JSON as models saw it in training: not escaped for HTML."""
    width = indent if isinstance(indent, int) else len(indent or "")
    if max(width, len("".join(separators or ()))) > _MAX_JSON_STYLE:
        raise TemplateLimit("the model's chat template asks for too much padding")
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
