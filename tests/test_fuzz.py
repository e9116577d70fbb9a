"""Hostile and damaged files: some here, any number by `python tests/soak.py fuzz`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import fuzz
import pytest


def test_hostile_files_are_refused_in_one_line_quickly_and_in_little_memory() -> None:
    *_, outcome = fuzz.run(seed=0, cases=700)
    assert outcome.cases == 700
    assert not outcome.faults
    kinds = {kind.name for kind in fuzz.KINDS.values()}
    for result in ("accepted", "refused"):
        assert {name for name in kinds if outcome.counts[f"{name} {result}"]} == kinds


def test_a_case_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    files = fuzz.valid_files(tmp_path)
    assert [fuzz.make(3, i, files) for i in range(50)] == [
        fuzz.make(3, i, files) for i in range(50)
    ]
    assert fuzz.make(3, 0, files) != fuzz.make(4, 0, files)


def hungry(path: Path) -> None:
    kept = bytearray(b"x" * 250_000_000)
    raise ValueError(f"{path.name} is refused after {len(kept)} bytes")


def slow(path: Path) -> None:
    start = time.process_time()
    while time.process_time() < start + 0.2:
        pass


def talkative(path: Path) -> None:
    raise ValueError("two\nlines")


def broken(path: Path) -> None:
    json.loads("[" * 10**5)


@pytest.mark.skipif(not fuzz.reset(), reason="memory is measured on Linux only")
@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (hungry, "was refused with"),
        (slow, "took 0.2 s"),
        (talkative, "is not one line"),
        (broken, "raised RecursionError"),
    ],
)
def test_every_kind_of_fault_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object, fault: str
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.15 if read is slow else 60)
    kind = fuzz.Kind("bad", read, (ValueError,), fuzz.json_case)
    monkeypatch.setitem(fuzz.KINDS, "bad", kind)
    assert fault in fuzz.judge("bad", b"", tmp_path)["fault"]


@pytest.mark.parametrize("end", ["os._exit(3)", "time.sleep(60)"])
def test_a_case_that_ends_or_hangs_two_processes_is_a_fault_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        f"""
import json, os, sys, time
first, last = map(int, sys.argv[2:])
for number in range(first, last):
    print(number, flush=True)
    if number == 5:
        {end}
    if number == 2 and not os.path.exists(__file__ + ".once"):
        open(__file__ + ".once", "w").close()
        os._exit(3)  # as if other processes had taken all memory: once
    result = {{"kind": "a", "outcome": "refused", "fault": "", "seconds": 0.1, "bytes": number}}
    print(json.dumps(result), flush=True)
"""
    )
    monkeypatch.setattr(fuzz, "__file__", os.fspath(program))
    monkeypatch.setattr(fuzz, "HANG", 0.5)
    *_, outcome = fuzz.run(seed=0, cases=8)
    assert outcome.cases == 8
    assert outcome.counts == {"a refused": 7, "? lost": 1}
    assert len(outcome.faults) == 1
    assert outcome.faults[0].startswith("case 5, ? ended the process with status")
    assert outcome.largest == (7, "case 7, a")
