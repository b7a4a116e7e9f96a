"""Fixtures of the tests of the host itself."""

from __future__ import annotations

from host.fixtures import *  # noqa: F403 - fixtures and the hook that skips
