"""docs/api.md and docs/internal-api.md say what the contract's comments say."""

import re

import pytest

from tools.api_reference import pages
from tools.contract import Contract, messages, read_contract


@pytest.fixture(scope="module")
def contract() -> Contract:
    return read_contract()


def test_the_pages_are_those_of_the_contract() -> None:
    """`make protos` mends them."""
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_call_and_every_message_is_told_once(contract: Contract) -> None:
    """By a heading of its own, so that links lead to one place."""
    headings = [
        re.split(r"[ .]", line)[-1]
        for path in pages()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("### ")
    ]
    services = [service.name for file in contract.files for service in file.service]
    enums = [enum.name for file in contract.files for enum in file.enum_type]
    told = [name.split(".")[-1] for file in contract.files for name, _ in messages(file)]
    assert sorted(headings) == sorted([*services, *told, *enums])


def test_no_page_has_a_heading_twice() -> None:
    for path in pages():
        lines = path.read_text(encoding="utf-8").splitlines()
        headings = [line for line in lines if line.startswith("#")]
        assert len(set(headings)) == len(headings)


def test_what_only_refers_to_another_field_says_what_that_says(contract: Contract) -> None:
    about = contract.comments
    stream = about["steeple.inference.v1.ChatStreamRequest.cache_salt"]
    assert stream == about["steeple.inference.v1.GenerateRequest.cache_salt"]
    assert "salt" in stream


def test_a_field_is_told_with_its_type_meaning_range_and_default() -> None:
    (page,) = (text for path, text in pages().items() if path.name == "api.md")
    assert (
        "| `temperature` | optional float | 0 = greedy. | Range 0 to 100. Default 1. |"
    ) in page.splitlines()
