"""What the tokenizer service would make of a model directory, told without starting it."""

from dataclasses import dataclass
from pathlib import Path

from steeple_rpc.errors import ServiceError
from tokenizer_svc.chat.conversation import Chat, ChatMessage, Role
from tokenizer_svc.chat.template_pool import TemplatePool
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.tokenizer import LoadedTokenizer, TextBounds

_GREETING = "Hello"
_BOUNDS = TextBounds(max_tokens=4096, template_cpu_s=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSurvey:
    """What was found."""

    vocab_size: int = 0
    """Ids are below this."""
    decoder: str = ""
    """The decoder family, e.g. byte_level."""
    has_chat_template: bool = False
    fault: str = ""
    """What the service would end with, its remedy in it."""
    chat_fault: str = ""
    """Why a conversation of one greeting cannot be rendered."""


def survey(directory: Path) -> TokenizerSurvey:
    """Load the tokenizer as the service does, and render one greeting."""
    with TemplatePool(num_workers=1) as templates:
        try:
            loaded = load_tokenizer(directory.name, directory, templates.template)
        except ServiceError as error:
            return TokenizerSurvey(fault=error.message)
        return TokenizerSurvey(
            vocab_size=loaded.info.vocab_size,
            decoder=loaded.info.decoder,
            has_chat_template=loaded.info.has_chat_template,
            chat_fault=_chat_fault(loaded) if loaded.info.has_chat_template else "",
        )


def _chat_fault(loaded: LoadedTokenizer) -> str:
    greeting = ChatMessage(role=Role.USER, content=_GREETING)
    try:
        loaded.encode_chat(Chat(messages=(greeting,), template_args={}), _BOUNDS)
    except ServiceError as error:
        return error.message
    return ""
