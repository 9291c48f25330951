"""A run's records and artefacts show that real guests ran, that they were measured, and which process each one was."""

from __future__ import annotations

import itertools

import pytest

from tests.e2e import seen
from tests.e2e.driver import Ran

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]


def test_every_guest_said_hello_with_its_kernel_and_the_nonce_it_was_given(no_threshold: Ran) -> None:
    nonces = seen.created(no_threshold.directory)
    assert sorted(vmi.rpartition("/")[2] for vmi in nonces) == ["bystander", "large-request", "small-request"]
    assert len(set(nonces.values())) == 3
    kernel = seen.provenance(no_threshold.directory)["qualifiers"]["guestKernel"]
    for vmi, nonce in nonces.items():
        log = no_threshold.directory / "artefacts" / "consoles" / f"{vmi.rpartition('/')[2]}.log"
        for lines in (
            log.read_text(encoding="utf-8").splitlines(),
            [r["line"] for r in seen.records(no_threshold.directory) if r.get("vmi") == vmi and "line" in r],
        ):
            hellos = [seen.words(line) for line in lines if line.startswith("@ hello ")]
            assert hellos, f"no hello of {vmi}"
            assert {hello["nonce"] for hello in hellos} == {nonce}
            assert {hello["kernel"] for hello in hellos} == {kernel}


def test_each_guest_was_a_process_of_its_own(no_threshold: Ran) -> None:
    pids: dict[str, set[int]] = {}
    for record in seen.records(no_threshold.directory):
        if record["stream"] == "sample" and record["source"] == "process":
            pids.setdefault(record["subject"], set()).add(record["data"]["pid"])
    assert pids.keys() == seen.created(no_threshold.directory).keys()
    assert all(len(found) == 1 for found in pids.values()), pids
    assert len(set.union(*pids.values())) == 3


def test_each_guest_was_measured_at_least_once_a_second_while_it_ran(no_threshold: Ran) -> None:
    every = seen.records(no_threshold.directory)
    over = every[-1]["t"]
    notes = [
        r["t"]
        for r in every
        if r["stream"] == "note" and r["what"] in {"lost-sample", "late-pass", "loop-lag"}
    ]
    for vmi in seen.created(no_threshold.directory):
        name = vmi.rpartition("/")[2]
        running = min(
            t
            for t, one in seen.objects(no_threshold.directory, "VirtualMachineInstance")
            if one["metadata"]["name"] == name and one.get("status", {}).get("phase") == "Running"
        )
        end = min(
            [
                *(r["t"] for r in every if r["stream"] == "kernel" and r.get("vmi") == vmi),
                *(
                    t
                    for t, phase in seen.phases(no_threshold.directory, name)
                    if phase in {"Succeeded", "Failed"}
                ),
                over,
            ]
        )
        times = [
            r["t"]
            for r in every
            if r["stream"] == "sample" and r["source"] == "cgroup" and r["data"].get("vmi") == vmi
        ]
        between = [running, *(t for t in times if running < t < end), end]
        gaps = [(a, b) for a, b in itertools.pairwise(between) if b - a > 1.0]
        # A busy machine may cost samples, never silently.
        untold = [(a, b) for a, b in gaps if not any(a <= t <= b + 0.5 for t in notes)]
        assert untold == [], f"{vmi}: {untold}"
        assert len(between) - 2 >= int(end - running), vmi
