"""The ports that a forge may lack, for tests on one that has them."""

from __future__ import annotations

from expci.forge.ports import Alerts, Checks, CIRecords, Forge


def checks_of(forge: Forge) -> Checks:
    assert forge.checks is not None
    return forge.checks


def alerts_of(forge: Forge) -> Alerts:
    assert forge.alerts is not None
    return forge.alerts


def ci_of(forge: Forge) -> CIRecords:
    assert forge.ci is not None
    return forge.ci
