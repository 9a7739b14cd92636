"""Ask, and print the answer as it is made: python chat.py "What is 2+2?"."""

import os
import sys

from steeple_client import DEFAULT_TARGET, Client, ServiceError


def main(question: str) -> int:
    """Print the answer; 1 where the gateway refused or failed."""
    target = os.environ.get("STEEPLE_TARGET", DEFAULT_TARGET)
    with Client(target, timeout_s=60) as client:
        try:
            with client.chat_stream(question) as stream:
                for text in stream.texts():
                    print(text, end="", flush=True)
                print(f"\n({stream.result().usage.num_completion_tokens} tokens)")
        except ServiceError as error:
            print(f"{error.reason}: {error.message}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "What is 2+2?"))
