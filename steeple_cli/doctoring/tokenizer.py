"""What the tokenizer service would make of a directory."""

from collections.abc import Iterator
from pathlib import Path

from steeple_cli.doctoring.finding import Finding, fail, ok, warn
from steeple_rpc.sizes import number_text
from tokenizer_svc.survey import TokenizerSurvey, survey


def look_at_tokenizer(directory: Path, *, vocab_size: int) -> Iterator[Finding]:
    """Its tokenizer and its chat template.

    Args:
        directory: the model's.
        vocab_size: of the model; 0 = not known.
    """
    found = survey(directory)
    if found.fault:
        yield fail("tokenizer", found.fault)
        return
    yield ok(
        "tokenizer",
        f"{number_text(found.vocab_size)} tokens, decoded as {found.decoder}",
        tokenizer_vocab_size=found.vocab_size,
        decoder=found.decoder,
    )
    if vocab_size and found.vocab_size > vocab_size:
        yield warn(
            "tokenizer",
            f"it has {number_text(found.vocab_size)} tokens, and the model knows"
            f" {number_text(vocab_size)}: texts with the others are refused",
            "fetch tokenizer and model of one repository",
        )
    yield _chat(found)


def _chat(found: TokenizerSurvey) -> Finding:
    if not found.has_chat_template:
        return warn(
            "chat template",
            "there is none: Generate works, Chat is refused",
            "serve an instruction-tuned model for conversations",
        )
    if found.chat_fault:
        return warn(
            "chat template",
            f"one greeting alone cannot be rendered: {found.chat_fault}",
            "look at what its template asks for; other conversations may work",
        )
    return ok("chat template", "compiles in the sandbox and renders a greeting")
