"""Between messages of the contract and the service's own values."""

from collections.abc import Sequence

from steeple.common.v1 import chat_pb2, tokens_pb2
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2
from steeple_rpc.errors import InvalidRequest, ServiceError, Unsupported
from steeple_rpc.status import to_proto
from tokenizer_svc.chat.conversation import (
    MAX_ARGS_CHARS,
    Chat,
    ChatMessage,
    Role,
    Tool,
    ToolCall,
    parse_json,
    parse_json_object,
)
from tokenizer_svc.detokenize.commands import Close, Command, Malformed, Open, Push, Update
from tokenizer_svc.detokenize.session_values import Progress, SessionOptions
from tokenizer_svc.detokenize.stream import Draining, Notice
from tokenizer_svc.tokenizer import EncodedPrompt, TokenizerInfo

_ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}


def chat_of(request: tokenizer_service_pb2.RenderChatRequest) -> Chat:
    """The conversation of a request.

    Raises:
        InvalidRequest: some part of it is wrong; names the field.
        Unsupported: it holds an image.
    """
    num_chars = sum(len(name) + len(text) for name, text in request.template_args.items())
    if num_chars > MAX_ARGS_CHARS:
        raise InvalidRequest(
            f"the template arguments have {num_chars} characters; at most {MAX_ARGS_CHARS}",
            field="template_args",
        )
    return Chat(
        messages=tuple(_message(m, f"messages[{n}]") for n, m in enumerate(request.messages)),
        tools=tuple(_tool(tool, f"tools[{n}]") for n, tool in enumerate(request.tools)),
        template_args={
            name: parse_json(text, field=f"template_args.{name}"[:128])
            for name, text in request.template_args.items()
        },
        continue_final_message=request.continue_final_message,
    )


def _message(message: chat_pb2.ChatMessage, field: str) -> ChatMessage:
    role = _ROLES.get(message.role)
    if role is None:
        raise InvalidRequest("the message has no role", field=f"{field}.role")
    return ChatMessage(
        role=role,
        content=_content(message.parts, field),
        name=message.name if message.HasField("name") else None,
        tool_calls=tuple(
            _tool_call(call, f"{field}.tool_calls[{n}]")
            for n, call in enumerate(message.tool_calls)
        ),
        tool_call_id=message.tool_call_id if message.HasField("tool_call_id") else None,
        reasoning=message.reasoning if message.HasField("reasoning") else None,
    )


def _content(parts: Sequence[chat_pb2.ContentPart], field: str) -> str:
    for place, part in enumerate(parts):
        if part.WhichOneof("content") == "image":
            raise Unsupported("images are not supported yet", field=f"{field}.parts[{place}].image")
    return "".join(part.text for part in parts)


def _tool_call(call: chat_pb2.ToolCall, field: str) -> ToolCall:
    arguments = parse_json_object(call.arguments_json, field=f"{field}.arguments_json")
    return ToolCall(id=call.id, name=call.name, arguments=arguments)


def _tool(tool: chat_pb2.Tool, field: str) -> Tool:
    if not tool.name:
        raise InvalidRequest("the tool has no name", field=f"{field}.name")
    parameters = parse_json_object(tool.parameters_json, field=f"{field}.parameters_json")
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=parameters or {"type": "object", "properties": {}},
    )


def prompt_message(prompt: EncodedPrompt) -> tokenizer_service_pb2.EncodedPrompt:
    """A prompt's ids as a message."""
    return tokenizer_service_pb2.EncodedPrompt(ids=prompt.ids, tail_start=prompt.tail_start)


def encode_result(
    outcome: EncodedPrompt | ServiceError,
) -> tokenizer_service_pb2.EncodeResult:
    """What became of one input."""
    if isinstance(outcome, ServiceError):
        return tokenizer_service_pb2.EncodeResult(error=to_proto(outcome))
    return tokenizer_service_pb2.EncodeResult(prompt=prompt_message(outcome))


def decode_result(outcome: str | ServiceError) -> tokenizer_service_pb2.DecodeResult:
    """What became of one input."""
    if isinstance(outcome, ServiceError):
        return tokenizer_service_pb2.DecodeResult(error=to_proto(outcome))
    return tokenizer_service_pb2.DecodeResult(text=outcome)


def info_message(info: TokenizerInfo) -> tokenizer_service_pb2.TokenizerInfo:
    """A tokenizer's facts as a message."""
    return tokenizer_service_pb2.TokenizerInfo(
        model=info.model,
        vocab_size=info.vocab_size,
        tokenizer_fingerprint=info.fingerprint,
        has_chat_template=info.has_chat_template,
        decoder=info.decoder,
    )


def commands_of(request: detokenize_pb2.DetokenizeRequest) -> list[Command]:
    """The commands of a message, in order; what cannot be read becomes Malformed."""
    return [_command(message) for message in request.commands]


def _command(message: detokenize_pb2.SessionCommand) -> Command:
    try:
        return _readable_command(message)
    except ServiceError as error:
        return Malformed(session=message.session, error=error)


def _readable_command(message: detokenize_pb2.SessionCommand) -> Command:
    match message.WhichOneof("command"):
        case "open":
            return _open(message.session, message.open)
        case "push":
            return Push(
                session=message.session,
                first_position=message.push.first_position,
                ids=message.push.ids,
                aside_ids=message.push.aside_ids,
                is_final=message.push.final,
            )
        case "close":
            return Close(session=message.session)
    raise InvalidRequest("the command is empty", field="command")


def _open(session: int, message: detokenize_pb2.OpenSession) -> Open:
    return Open(
        session=session,
        model=message.model,
        options=SessionOptions(
            stops=tuple(message.stop),
            min_tokens=message.min_tokens,
            skip_special_tokens=message.skip_special_tokens,
            include_stop_in_output=message.include_stop_in_output,
            token_texts=message.token_texts,
        ),
        prompt_tail_ids=message.prompt_tail_ids,
        prior_output_ids=message.prior_output_ids,
    )


def detokenize_response(notices: Sequence[Notice]) -> detokenize_pb2.DetokenizeResponse:
    """One message for all that gathered."""
    return detokenize_pb2.DetokenizeResponse(
        updates=[_update(notice) for notice in notices if isinstance(notice, Update)],
        draining=any(isinstance(notice, Draining) for notice in notices),
    )


def _update(update: Update) -> detokenize_pb2.SessionUpdate:
    outcome = update.outcome
    if isinstance(outcome, Progress):
        return _progress(update.session, outcome)
    return detokenize_pb2.SessionUpdate(session=update.session, error=to_proto(outcome))


def _progress(session: int, progress: Progress) -> detokenize_pb2.SessionUpdate:
    return detokenize_pb2.SessionUpdate(
        session=session,
        text=progress.text,
        ids_consumed=progress.ids_consumed,
        ids_received=progress.ids_received,
        matched_stop=progress.matched_stop,
        final=progress.is_final,
        tokens=[tokens_pb2.TokenLogprob(id=t.id, text=t.text) for t in progress.tokens],
        aside_texts=progress.aside_texts,
    )
