"""The jinja2 environment of chat templates: an immutable sandbox that also counts costs.

The sandbox keeps templates away from Python. It does not keep them from spinning or from filling
the memory: for that every loop turn, call, filter, concatenation and output is charged to the
Meter of the rendering. What remains, a single step of the interpreter that nothing in Python can
interrupt (one comparison of deep lists, say), ends with its process: see template_worker.
"""

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from tokenizer_svc.chat.template_costs import (
    charge_arguments,
    charge_product,
    check_brace_format,
    check_percent_format,
    listed,
)
from tokenizer_svc.chat.template_meter import Meter, size_of

# jinja2 passes values of templates around: any type.
Value = Any

_FORBIDDEN_FILTERS = frozenset(
    {"center", "filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"}
)
# These hand values on and never write them out.
_SHALLOW_FILTERS = frozenset(
    {
        "attr",
        "count",
        "d",
        "default",
        "dictsort",
        "first",
        "groupby",
        "items",
        "last",
        "length",
        "list",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "reverse",
        "select",
        "selectattr",
        "sort",
        "sum",
        "unique",
    }
)


class GenerationTag(Extension):
    """`{% generation %}`: marks what a model wrote, for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Take the block's body as it is."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class MeteredEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose templates charge all that they do to the current Meter.

    Args:
        functions: global functions besides jinja2's own.
        filters: filters besides jinja2's own.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Value]],
        filters: Mapping[str, Callable[..., Value]],
    ) -> None:
        # No optimizer: it would run filters while compiling, where nothing is charged.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
            extensions=[loopcontrols, GenerationTag],
        )
        self._meter: ContextVar[Meter] = ContextVar("meter")
        self.globals.pop("lipsum")
        self.globals.update(functions)
        known = {**self.filters, **filters}
        self.filters = {
            name: self._metered_filter(name, function)
            for name, function in known.items()
            if name not in _FORBIDDEN_FILTERS
        }

    def use(self, meter: Meter) -> None:
        """Charge what this thread renders from now on to `meter`."""
        self._meter.set(meter)

    def metered(self, tree: nodes.Template) -> nodes.Template:
        """The template with every loop turn, concatenation and output charged."""
        _Metering().visit(tree)
        tree.set_environment(self)
        return tree

    def tick(self, amount: int) -> None:
        """Charge one turn of a loop or macro that writes `amount` characters of its own."""
        self._meter.get().spend(amount)

    def written(self, value: Value) -> Value:
        """Charge a value that is about to be written to the output."""
        meter = self._meter.get()
        meter.check_depth(value)
        meter.spend(size_of(value))
        return value

    def joined(self, *values: Value) -> str:
        """The `~` operator."""
        meter = self._meter.get()
        for value in values:
            meter.check_depth(value)
            meter.spend(size_of(value))
        return "".join(map(str, values))

    def call(
        __self,  # noqa: N805 - keyword arguments of templates may have any other name
        __context: Context,  # noqa: PYI063
        __obj: Value,
        *args: Value,
        **kwargs: Value,
    ) -> Value:
        """Call from a template: methods of texts are bounded, everything is charged."""
        meter = __self._meter.get()
        owner = getattr(__obj, "__self__", None)
        name = getattr(__obj, "__name__", "")
        if isinstance(owner, str) or name in ("format", "format_map"):
            args = listed(args)
            charge_arguments(meter, name, (owner, *args, *kwargs.values()))
        result = super().call(__context, __obj, *args, **kwargs)
        meter.spend(0 if isinstance(__obj, Macro) else size_of(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Value, right: Value) -> Value:
        """Operators that can make large values out of small ones."""
        meter = self._meter.get()
        if operator in ("*", "**"):
            charge_product(meter, operator, left, right)
        if operator == "%" and isinstance(left, str):
            check_percent_format(left)
            meter.check_depth(right)
        result = super().call_binop(context, operator, left, right)
        meter.spend(size_of(result))
        return result

    def wrap_str_format(self, value: Value) -> Callable[..., str] | None:
        """str.format, in the sandbox and without long paddings."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            check_brace_format(value.__self__)
        return wrapped

    def _metered_filter(self, name: str, function: Callable[..., Value]) -> Callable[..., Value]:
        @functools.wraps(function)
        def metered(*args: Value, **kwargs: Value) -> Value:
            meter = self._meter.get()
            if name not in _SHALLOW_FILTERS:
                args = listed(args)
                charge_arguments(meter, name, (*args, *kwargs.values()))
            result = function(*args, **kwargs)
            meter.spend(size_of(result))
            return result

        return metered


class _Metering(NodeTransformer):
    """Puts the charges into a template's tree."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's naming
        return self._ticking(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - likewise
        return self._ticking(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802 - likewise
        return self._ticking(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - likewise
        self.generic_visit(node)
        return _environment_call("joined", node.nodes, node.lineno)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - likewise
        self.generic_visit(node)
        node.nodes = [
            child
            if isinstance(child, nodes.TemplateData)
            else _environment_call("written", [child], node.lineno)
            for child in node.nodes
        ]
        return node

    def _ticking(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        own = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        amount = nodes.Const(own, lineno=node.lineno)
        tick = _environment_call("tick", [amount], node.lineno)
        node.body.insert(0, nodes.ExprStmt(tick, lineno=node.lineno))
        return node


def _environment_call(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    method = nodes.EnvironmentAttribute(name, lineno=line)
    return nodes.Call(method, arguments, [], None, None, lineno=line)
