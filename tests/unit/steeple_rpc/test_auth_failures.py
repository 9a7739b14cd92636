"""The limit on failed authentications: per peer, refilled, bounded."""

import pytest

from steeple_rpc.auth.failures import FailureLimit, peer_site


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_one_per_second() -> None:
    clock = Clock()
    limit = FailureLimit(clock, burst=3, per_s=1.0)
    assert [limit.wait_s("a") for _ in range(3)] == [0, 0, 0]
    assert limit.wait_s("a") == 1.0
    clock.now = 0.75
    assert limit.wait_s("a") == 0.25
    clock.now = 1.0
    assert limit.wait_s("a") == 0
    assert limit.wait_s("a") == 1.0


def test_peers_do_not_take_each_others_room() -> None:
    limit = FailureLimit(Clock(), burst=1)
    assert (limit.wait_s("a"), limit.wait_s("b")) == (0, 0)
    assert limit.wait_s("a") > 0


def test_the_table_is_bounded_and_forgets_who_was_quiet_longest() -> None:
    limit = FailureLimit(Clock(), burst=1, max_peers=2)
    for peer in ("a", "b", "c"):
        limit.wait_s(peer)
    assert len(limit._buckets) == 2
    assert limit.wait_s("c") > 0
    assert limit.wait_s("a") == 0


@pytest.mark.parametrize(
    ("peer", "site"),
    [
        ("ipv4:10.1.2.3:555", "10.1.2.3"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:555", "2001:db8:1:2::/64"),
        ("ipv6:[::1]:555", "::/64"),
        ("unix:", "unix"),
        ("unix:/run/x", "unix"),
        ("", ""),
    ],
)
def test_a_peer_is_known_by_what_it_cannot_change_at_will(peer: str, site: str) -> None:
    assert peer_site(peer) == site
