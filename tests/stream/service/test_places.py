"""How many sessions one address and one token may have."""

from __future__ import annotations

import pytest

from turnstream.stream.service.limits import Limits
from turnstream.stream.service.places import Owner, Places, address_of


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("127.8.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("unknown", "unknown"),
    ],
)
def test_an_address_is_counted_by_its_network_and_this_machine_is_not(
    host: str, expected: str | None
) -> None:
    assert address_of(host) == expected


def test_an_address_gets_as_many_places_as_the_limit_says_and_others_are_free() -> None:
    places = Places(Limits(max_sessions_per_address=2))
    one, other = Owner("192.0.2.7"), Owner("192.0.2.8")
    places.take(one)
    assert places.refusal(one) is None
    places.take(one)
    assert places.refusal(one) == ("expected at most 2 sessions from one address, got one more")
    assert places.refusal(other) is None
    places.give_back(one)
    assert places.refusal(one) is None


def test_a_token_gets_as_many_places_as_the_limit_says_whatever_the_address() -> None:
    places = Places(Limits(max_sessions_per_token=2))
    for host in ("192.0.2.7", None):
        places.take(Owner(host, b"secret"))
    assert places.refusal(Owner("192.0.2.9", b"secret")) == (
        "expected at most 2 sessions of one token, got one more"
    )
    assert places.refusal(Owner("192.0.2.9", b"other")) is None
    assert places.refusal(Owner("192.0.2.9")) is None


def test_this_machine_without_a_token_has_no_limit() -> None:
    places = Places(Limits(max_sessions_per_address=1, max_sessions_per_token=1))
    for _ in range(5):
        assert places.refusal(Owner()) is None
        places.take(Owner())
