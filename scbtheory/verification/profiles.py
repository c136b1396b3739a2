"""Sizes of the claims that train: ``quick`` by default, ``full`` where the environment variable SCB_PROFILE says so."""

from __future__ import annotations

import os

from scbtheory.errors import InvalidArgument, nearest

__all__ = ["PROFILES", "name", "sized"]

PROFILES = ("quick", "full")


def name() -> str:
    """Return the profile in force.

    Raises
    ------
    InvalidArgument : SCB_PROFILE names no profile.
    """
    value = os.environ.get("SCB_PROFILE", "quick")
    if value not in PROFILES:
        raise InvalidArgument(
            f"SCB_PROFILE is {value!r}; expected one of {', '.join(PROFILES)}{nearest(value, PROFILES)}"
        )
    return value


def sized(quick, full):
    """Return the value for the profile in force."""
    return full if name() == "full" else quick
