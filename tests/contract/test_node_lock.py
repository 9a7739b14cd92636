"""What Node's examples are made of is pinned by hash, wherever it is downloaded from."""

import json

from tests.support.node import EXAMPLES

LOCK = json.loads((EXAMPLES / "package-lock.json").read_text())
PACKAGES = {name: told for name, told in LOCK["packages"].items() if name}


def test_the_lock_file_knows_every_package_by_its_hash_and_none_by_an_address() -> None:
    """An address would bind all users to one registry."""
    assert PACKAGES
    assert [name for name, told in PACKAGES.items() if not told.get("integrity")] == []
    assert [name for name, told in PACKAGES.items() if "resolved" in told] == []


def test_the_lock_file_has_the_versions_that_the_manifest_names() -> None:
    wanted = json.loads((EXAMPLES / "package.json").read_text())["dependencies"]
    assert wanted
    for name, version in wanted.items():
        assert PACKAGES[f"node_modules/{name}"]["version"] == version
