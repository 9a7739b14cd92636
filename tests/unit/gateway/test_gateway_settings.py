"""What the gateway does not take as a setting."""

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings


@pytest.mark.parametrize("given", ["inf", "1e10", "0"])
def test_the_longest_request_has_a_length_that_deadlines_can_tell(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """The library's clock runs over where they are longer: every request would end at once."""
    monkeypatch.setenv("STEEPLE_GATEWAY_MAX_REQUEST_S", given)
    with pytest.raises(ValidationError) as caught:
        GatewaySettings()
    assert "max_request_s" in {error["loc"][0] for error in caught.value.errors()}
