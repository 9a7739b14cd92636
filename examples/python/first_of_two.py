"""Ask the same of two seeds at once, take the answer that ends first, leave the other.

python first_of_two.py "What is 2+2?"
"""

import asyncio
import os
import sys

from steeple_client import DEFAULT_TARGET, AsyncClient


async def answer(client: AsyncClient, question: str, seed: int) -> str:
    """The whole answer; a task that is cancelled cancels the request, down to the engine."""
    async with client.chat_stream(question, seed=seed, max_tokens=40) as stream:
        return (await stream.result()).text


async def main(question: str) -> None:
    """Print the first answer."""
    target = os.environ.get("STEEPLE_TARGET", DEFAULT_TARGET)
    async with AsyncClient(target, timeout_s=60) as client:
        tasks = [asyncio.create_task(answer(client, question, seed)) for seed in (1, 2)]
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        print(done.pop().result())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "What is 2+2?"))
