"""How many files the service lets itself open, on systems with other limits than this one."""

import resource

import pytest

from pets.serving.accepting import allow_open_files
from pets.serving.errors import CannotServe

Limits = tuple[int, int]


class System:
    """A system with these limits, which refuses an infinite soft limit, as macOS does."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limits = (soft, hard)

    def get(self, _: int) -> Limits:
        return self.limits

    def set(self, _: int, limits: Limits) -> None:
        if limits[0] == resource.RLIM_INFINITY:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits


def limits_after(system: System, monkeypatch: pytest.MonkeyPatch) -> Limits:
    monkeypatch.setattr(resource, "getrlimit", system.get)
    monkeypatch.setattr(resource, "setrlimit", system.set)
    allow_open_files(workers=1)
    return system.limits


@pytest.mark.parametrize(("soft", "allowed"), [(256, 10_240), (65_536, 65_536)])
def test_an_infinite_hard_limit_leaves_a_finite_soft_limit(
    soft: int, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(soft, resource.RLIM_INFINITY)
    assert limits_after(system, monkeypatch) == (allowed, resource.RLIM_INFINITY)


def test_the_soft_limit_is_raised_to_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_after(System(1024, 4096), monkeypatch) == (4096, 4096)


def test_a_hard_limit_that_lets_no_client_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotServe, match=r"allows 100 open files, .* needs 154 \(ulimit -Hn\)"):
        limits_after(System(100, 100), monkeypatch)
