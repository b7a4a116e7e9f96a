"""The fuzzing targets pass on their seeds, and on some thousand inputs from a fixed random seed.

The long, guided runs are started by hand with `run.py`; their findings became tests of the affected rooms.
"""

from __future__ import annotations

import random

import pytest
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

# More inputs for faster targets.
COUNTS = {"files": 250, "jobs": 1500, "weights": 150, "records": 1500}


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return an input with bytes replaced, removed, repeated or swapped, as a fuzzer does."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place, length = chance.randrange(len(data) + 1), chance.randint(1, 9)
        kind = chance.randrange(4)
        if kind == 0:
            data[place : place + length] = chance.randbytes(length)
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = data[place : place + length] * chance.randint(1, 3)
        else:
            data[place : place + 1] = chance.choice([b"\xff", b"\x00", b"-", b"9", b"\n", b'"'])
        data = data or bytearray(b"\0")
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # warnings of libraries about damaged files are irrelevant here
@pytest.mark.parametrize("target", TARGETS)
def test_valid_inputs_are_read_and_others_are_refused(target):
    understand, valid, chance = TARGETS[target], seeds(target), random.Random(20260)

    assert any(understand(content) for content in valid)
    understood = sum(understand(changed(chance.choice(valid), chance)) for _ in range(COUNTS[target]))
    assert understood < COUNTS[target]
