"""`admission`, `vnc`: what the API answered to requests of ours."""

from __future__ import annotations

from harness.judge.interval import Truth
from harness.judge.seen import Run, Seen, merge, unobservable
from harness.judge.tracks import Answer
from harness.spec.expectations import Admission, Vnc

KUBEVIRT = "kubevirt"
SWITCHED = 101
"""A websocket that was upgraded."""


def _answers(run: Run, request: str, name: str) -> list[Answer]:
    return [
        a
        for a in run.timeline.answers
        if a.request == request and name in {a.target, a.target.partition("/")[2]}
    ]


def _told(answer: Answer) -> str:
    message = f": {answer.message.strip()}" if answer.message else ""
    warned = f", warnings: {' | '.join(answer.warnings)}" if answer.warnings else ""
    return f"{answer.code}{message}{warned}"


def _shown(answer: Answer, wrong: list[str], name: str) -> Seen:
    return Seen(
        truth=Truth.of(not wrong),
        text=_told(answer),
        proof=(answer.line,),
        subjects=(answer.target or name,),
        reason="; ".join(wrong),
        timed=False,
    )


def look_admission(run: Run, wanted: Admission) -> Seen:
    """Judge every answer to the creation of the fleet's members, or to the KubeVirt configuration."""
    waiting = not run.timeline.closed
    if wanted.of == KUBEVIRT:
        found = [(KUBEVIRT, _answers(run, "configure-kubevirt", KUBEVIRT))]
    else:
        # A recorded change of the KubeVirt configuration may have a name of its own; nobody is created under that.
        found = [
            (m.name, _answers(run, "create", m.name) or _answers(run, "configure-kubevirt", m.name))
            for m in run.cast.of(wanted.of)
        ]
    if not found:
        return unobservable(f"the scenario has no fleet {wanted.of!r}")
    parts: list[Seen] = []
    for name, answers in found:
        if not answers:
            why = "no answer of the API to its creation was recorded"
            if name == KUBEVIRT:
                why = "no answer of the API to the KubeVirt configuration was recorded"
            parts.append(unobservable(why, subjects=(name,), open_=waiting))
        parts += [_shown(a, _admission_wrongs(a, wanted), name) for a in answers]
    return merge(parts)


def _admission_wrongs(answer: Answer, wanted: Admission) -> list[str]:
    wrong: list[str] = []
    if (200 <= answer.code < 300) != wanted.allowed:
        wrong.append(f"it was {'refused' if wanted.allowed else 'allowed'} ({answer.code})")
    if wanted.code is not None and answer.code != wanted.code:
        wrong.append(f"HTTP {answer.code} instead of {wanted.code}")
    if wanted.message is not None and wanted.message not in answer.message:
        wrong.append(f"its message does not say {wanted.message!r}")
    if wanted.warning is not None and not any(wanted.warning in w for w in answer.warnings):
        wrong.append(f"no warning says {wanted.warning!r}")
    count = len(answer.warnings)
    if (wanted.min_warnings is not None and count < wanted.min_warnings) or (
        wanted.max_warnings is not None and count > wanted.max_warnings
    ):
        wrong.append(f"{count} warnings")
    return wrong


def look_vnc(run: Run, wanted: Vnc) -> Seen:
    """Judge the answers to opening VNC of each member."""
    members = run.cast.of(wanted.of)
    if not members:
        return unobservable(f"the scenario has no fleet {wanted.of!r}")
    parts: list[Seen] = []
    for member in members:
        answers = _answers(run, "vnc", member.name)
        if not answers:
            parts.append(
                unobservable("VNC was not asked for", subjects=(member.name,), open_=not run.timeline.closed)
            )
        for answer in answers:
            wrong = [] if answer.code == wanted.status else [f"HTTP {answer.code} instead of {wanted.status}"]
            if wanted.message is not None and wanted.message not in answer.message:
                wrong.append(f"its message does not say {wanted.message!r}")
            parts.append(_shown(answer, wrong, member.name))
    return merge(parts)
