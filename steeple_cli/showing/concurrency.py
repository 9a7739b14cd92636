"""How much fits at once, in one phrase for all who tell it."""

from steeple_rpc.sizes import number_text


def concurrency_text(max_concurrency: float, max_model_len: int) -> str:
    """So many requests of full length: "at most 1.5 requests of 1,024 tokens at once"."""
    number = number_text(max_concurrency)
    noun = "request" if number == "1" else "requests"
    return f"at most {number} {noun} of {number_text(max_model_len)} tokens at once"
