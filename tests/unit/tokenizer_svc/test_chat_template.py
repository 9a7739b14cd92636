"""Chat templates: equal to the reference renderer, and harmless whatever they try."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from steeple_rpc.errors import InvalidRequest
from tests.support.templates import ATTACKS
from tokenizer_svc.chat.conversation import (
    Chat,
    ChatMessage,
    Role,
    Tool,
    ToolCall,
    template_variables,
)
from tokenizer_svc.chat.template import MAX_MESSAGE_CHARS, ChatTemplate
from tokenizer_svc.chat.template_meter import Meter, RenderLimits, TemplateLimit
from tokenizer_svc.errors import StartupError

LIMITS = RenderLimits(max_chars=1 << 20, max_work=16 << 20, max_cpu_s=0.25)
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)

CHATML_TOOLS = """\
{%- macro told(tool) -%}
    {{- '\\n' ~ (tool | tojson) }}
{%- endmacro -%}
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}
    {{- '# Tools\\n<tools>' }}
    {%- for tool in tools %}{{ told(tool) }}{% endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages | length - 1, texts=[]) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and not message.content.startswith('<tool_response>') %}
        {%- set ns.last = messages | length - 1 - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.reasoning_content and loop.index0 > ns.last %}
            {{- '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n' }}
        {%- endif %}
        {%- generation %}{{ message.content | trim }}{% endgeneration %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "%s", "arguments": ' % call.function.name }}
            {{- call.function.arguments | tojson(indent=2) }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>' + message.content + '</tool_response>' }}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'user' or not tools %}
        {{- '<|im_start|>' + message.role + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

GRANITE_LIKE = """\
{% if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{% else %}
    {%- set system_message = "Knowledge Cutoff Date: April 2024.
Today's Date: " ~ strftime_now('%B %d, %Y') ~ "." %}
    {%- if documents %}{% set system_message = system_message + " Use the documents." %}{% endif %}
    {%- set loop_messages = messages %}
{% endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- if tools is not none %}
    {{- '<|start_of_role|>tools<|end_of_role|>' }}
    {{- tools | map(attribute='function') | list | tojson(indent=4) }}
    {{- '<|end_of_text|>\\n' }}
{%- endif %}
{%- for document in documents or [] %}
    {{- 'Document ' ~ loop.index ~ ': ' ~ document['text'] }}{{ '\\n' if not loop.last }}
{%- endfor %}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] }}
    {{- '<|end_of_text|>\\n' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant' }}
        {%- if controls %}{{ ' ' + controls | tojson() }}{% endif %}
        {{- '<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}
"""

CONVERSATION = (
    ChatMessage(role=Role.SYSTEM, content='Be brief, <b>please</b> & "quote".'),
    ChatMessage(role=Role.USER, content="Wie ist's in Köln? 🦊"),
    ChatMessage(
        role=Role.ASSISTANT,
        content=" I look. ",
        reasoning="\nhm\n",
        tool_calls=(
            ToolCall(id="c1", name="weather", arguments={"city": "Köln", "days": [1, 2.5, None]}),
        ),
    ),
    ChatMessage(role=Role.TOOL, content='{"t": 21}', tool_call_id="c1", name="weather"),
    ChatMessage(role=Role.ASSISTANT, content="21 degrees"),
    ChatMessage(role=Role.USER, content="and\n\nthen?"),
)
TOOLS = (
    Tool(
        name="weather",
        description="tells <it>",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}},
    ),
)


def template(source: str) -> ChatTemplate:
    """Compiled, at noon."""
    return ChatTemplate(source, lambda: NOON)


def rendered(source: str, **variables: Any) -> str:
    """Rendered with one message, and what else is given."""
    messages = [{"role": "user", "content": "x"}]
    return template(source).render({"messages": messages, **variables}, LIMITS)


@pytest.mark.parametrize("source", [CHATML_TOOLS, GRANITE_LIKE])
@pytest.mark.parametrize("tools", [(), TOOLS])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"enable_thinking": False, "controls": {"length": "long"}},
        {"documents": [{"title": "a", "text": "b"}, {"title": "c", "text": "d"}]},
    ],
)
def test_it_renders_what_the_reference_renders(
    source: str,
    tools: tuple[Tool, ...],
    start: int,
    args: dict[str, Any],
) -> None:
    """Character by character: tools, tool calls, reasoning, documents, controls."""
    chat = Chat(messages=CONVERSATION[start:], tools=tools, template_args=args)
    variables = template_variables(chat, lambda text: text)
    ours = ChatTemplate(source, datetime.now).render(variables, LIMITS)
    theirs: Any = render_jinja_template(
        conversations=[variables["messages"]],
        tools=variables["tools"],
        documents=variables["documents"],
        chat_template=source,
        add_generation_prompt=True,
        **{name: value for name, value in args.items() if name != "documents"},
    )
    assert [ours] == theirs[0]


def test_the_time_comes_from_the_given_clock() -> None:
    """So that a rendering can be repeated."""
    assert rendered("{{ strftime_now('%d %B %Y') }}") == "01 May 2024"


def test_what_the_template_raises_is_told() -> None:
    """As its message, cut to a bounded length."""
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        rendered("{{ raise_exception('roles must alternate') }}")
    assert caught.value.reason == "TEMPLATE_FAILED"
    with pytest.raises(InvalidRequest) as caught:
        rendered("{{ raise_exception('x' * 100000) }}")
    assert len(caught.value.message) < MAX_MESSAGE_CHARS + 100


def test_a_failing_template_tells_nothing_of_python() -> None:
    """No exception's name or words."""
    for source in ("{{ 1 / 0 }}", "{{ x.y.z }}", "{{ messages + 1 }}"):
        with pytest.raises(InvalidRequest, match=r"cannot render this conversation$"):
            rendered(source)


@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_fails_soon(source: str) -> None:
    """With one reason, within the CPU time allowed and little more."""
    outcome: list[BaseException | str] = []

    def attack() -> None:
        try:
            outcome.append(rendered(source))
        except InvalidRequest as error:
            outcome.append(error)

    # A small stack and no deep frames below: as in the service's threads.
    thread = threading.Thread(target=attack)
    thread.start()
    thread.join(timeout=20)
    assert len(outcome) == 1
    assert isinstance(outcome[0], InvalidRequest)
    assert outcome[0].reason == "TEMPLATE_FAILED"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''|attr('__class__') }}",
        "{{ ''['__class__'] }}",
        "{{ messages|map(attribute='__class__')|first }}",
        "{{ '{0.__class__.__init__}'.format(messages) }}",
        "{{ raise_exception.__globals__ }}",
    ],
)
def test_a_walk_to_the_classes_finds_nothing(source: str) -> None:
    """As jinja2 has it, the first step gives an undefined value, which writes nothing."""
    assert rendered(source) == ""


@pytest.mark.parametrize(
    "source",
    [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% if %}",
        "{{ 'a'|center(9) }}",
        "{{ 'a'|nonsense }}",
        "x" * (1 << 20) + "x",
    ],
)
def test_what_cannot_be_served_is_refused_when_loaded(source: str) -> None:
    """Not when the first caller comes."""
    with pytest.raises(StartupError, match="template"):
        template(source)


def test_time_is_the_rendering_threads_own() -> None:
    """The meter charges by the clock that it is given."""
    now = [0.0]
    meter = Meter(RenderLimits(max_chars=10, max_work=10, max_cpu_s=1.0), lambda: now[0])
    meter.spend(1)
    now[0] = 1.1
    with pytest.raises(TemplateLimit, match="too long"):
        meter.spend(1)


def test_renderings_share_nothing() -> None:
    """A namespace of one is not seen by the next; neither is its account."""
    shared = template("{% set n = namespace(x=1) %}{% set n.x = n.x + 1 %}{{ n.x }}{{ y }}")
    for _ in range(3):
        assert shared.render({"messages": []}, LIMITS) == "2"
