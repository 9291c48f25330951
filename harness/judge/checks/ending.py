"""`grace`, `shutdown`, `phase`: how long a guest lived after it was told to go, how it ended, what was left.

A clean shutdown is the guest's own word (`bye`, or its kernel's power-down line) and a VMI that Succeeded. QEMU's
exit code 0 is not one: a guest that panics exits 0 too. A guest that ended by itself had at least the grace it
used; only one that was cut shows how much there was.
"""

from __future__ import annotations

from dataclasses import replace

from harness.judge.checks.evicted import settling
from harness.judge.endings import DELIVERY, Ending
from harness.judge.interval import INFINITY, Interval, Truth, every, moment, seconds
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.timeline import Said
from harness.judge.tracks import FINAL
from harness.records import served
from harness.spec.expectations import Grace, Phase, Shutdown

LIVE_CONSOLE = 15.0
"""A console is live where its guest spoke this short before its end: older agents speak every 5 s."""

LIVE_PROTO = 5.0
"""The same of an agent of proto 1, which speaks every second."""

PHASE_LAG = 45.0
"""A VMI's phase may follow its guest's end this late: 39.5 s seen of a deaf guest (Kubernetes 1.36, KubeVirt main)."""

CAUSED = 0.001
"""What a guest did because it was told proves it lived on, by at least the millisecond its clock can tell."""


def farewell(ending: Ending) -> Said | None:
    """Return the guest's last word of a shutdown of its own."""
    return ending.last("bye", "power-down")


def _told(run: Run, ending: Ending) -> tuple[Interval, tuple[int, ...]] | None:
    """Return when it was told to go: the Evicted event, else SIGTERM (Killing event, deletion of its pod)."""
    pods = {pod.uid for pod in ending.incarnation.pods}
    if ending.eviction is not None:
        pods.add(ending.eviction.pod_uid)
    if ending.eviction is not None and ending.eviction.by_event:
        told, proof = ending.eviction.told, ending.eviction.proof
    else:
        killing = [
            e
            for e in run.timeline.events
            if e.reason == "Killing" and e.uid in pods and e.when.high > run.timeline.window_start
        ]
        terminating = [p.terminating for p in ending.incarnation.pods if p.terminating is not None]
        if killing:
            told, proof = killing[0].when, (killing[0].line,)
        elif ending.eviction is not None:
            told, proof = ending.eviction.told, ending.eviction.proof
        elif terminating:
            told, proof = Interval(terminating[0].t - 1.0, terminating[0].t), (terminating[0].line,)
        else:
            return None
    return _sharpened(run, ending, told), proof


def _sharpened(run: Run, ending: Ending, told: Interval) -> Interval:
    """Cut the interval by its first consequences: the power button in the guest, KubeVirt's ShuttingDown event."""
    vmi = ending.incarnation.vmi
    consequences = [s.t for s in ending.lines if s.parsed.word == "power" and s.t >= told.low]
    if vmi is not None:
        consequences += [
            e.t
            for e in run.timeline.events
            if e.reason == "ShuttingDown" and e.uid == vmi.uid and e.when.high >= told.low
        ]
    return Interval(told.low, max(told.low, min([told.high, *consequences])))


def look_grace(run: Run, wanted: Grace) -> Seen:
    """Judge how long each subject lived after it was told to go."""

    def one(ending: Ending) -> Seen:
        found = _told(run, ending)
        killed = min((kill.t for kill in ending.kills), default=INFINITY)
        if found is None or killed <= found[0].low:
            if ending.kills:
                return unobservable("the kernel killed it; it was never told to go")
            return undecided("it was not told to go in this run", open_=not run.timeline.closed)
        told, proof = found
        if ending.gone is None:
            return undecided(
                "it was told to go and was not seen to end", proof=proof, open_=not run.timeline.closed
            )
        word = farewell(ending)
        vmi = ending.incarnation.vmi
        pod = ending.incarnation.pod
        codes = [t.exit_code for t in pod.terminations.values()] if pod is not None else []
        succeeded = vmi.phase == "Succeeded" if vmi is not None else bool(codes) and set(codes) == {0}
        timed = True
        if (word is not None and word.t >= told.low) or succeeded:
            lived, by_guest = _at_least(ending, told, word)
            timed = by_guest.within(wanted.min, wanted.max) is not lived.within(wanted.min, wanted.max)
            text = f"ended by itself {seconds(lived)} after it was told"
            if word is not None:
                proof = (*proof, word.line)
        else:
            lived = ending.gone.minus(told).floor(0.0)
            text = f"cut {seconds(lived)} after it was told"
        truth = lived.within(wanted.min, wanted.max)
        return Seen(
            truth=truth,
            text=text,
            interval=lived,
            margin=lived.margin(wanted.min, wanted.max),
            proof=tuple(sorted({*proof, *ending.proof})),
            reason="" if truth is Truth.TRUE else text,
            span=Interval(told.low, ending.gone.high),
            timed=timed,
        )

    return run.each(wanted.of, one)


def _at_least(ending: Ending, told: Interval, word: Said | None) -> tuple[Interval, Interval]:
    """Return the grace a guest used before it ended by itself, a lower bound of what it had.

    The second interval is the same by the guest's own doing and clock alone, which our lateness can't spoil.
    """
    assert ending.gone is not None
    ours = ending.gone.low - told.high
    guests = 0.0
    if word is not None and word.t >= told.low:
        ours = max(ours, word.t - DELIVERY - told.high)
        button = ending.first("power", after=told.low)
        if button is not None:
            guests = CAUSED
            # The agent's words only: the kernel's time stamps are of another clock.
            bye = ending.last("bye")
            if bye is not None and bye.parsed.uptime is not None and button.parsed.uptime is not None:
                guests = max(guests, bye.parsed.uptime - button.parsed.uptime)
    return Interval(max(ours, guests), INFINITY), Interval(guests, INFINITY)


def look_shutdown(run: Run, wanted: Shutdown) -> Seen:
    """Judge whether each subject shut down cleanly or was cut."""

    def one(ending: Ending) -> Seen:
        seen = _clean(run, ending)
        if seen.truth in {None, Truth.STRADDLES}:
            return seen
        right = (seen.truth is Truth.TRUE) == wanted.clean
        return replace(seen, truth=Truth.of(right), reason="" if right else seen.text)

    return run.each(wanted.of, one)


def _clean(run: Run, ending: Ending) -> Seen:
    """Return whether the shutdown was clean, as a Seen whose truth says so."""
    if not ending.incarnation.is_vmi:
        return _clean_pod(run, ending)
    waiting = not run.timeline.closed
    word, vmi = farewell(ending), ending.incarnation.vmi
    phase = vmi.phase if vmi is not None else ""
    proof = list(ending.proof)
    if vmi is not None and vmi.final is not None:
        proof.append(vmi.final.line)

    def answer(clean: bool, text: str, *lines: int) -> Seen:
        return Seen(
            truth=Truth.of(clean),
            text=text,
            proof=tuple(sorted({*proof, *lines})),
            span=ending.gone,
            open=False,
        )

    panic = ending.last("panic")
    if panic is not None and (word is None or panic.t >= word.t):
        return answer(False, "cut: the guest's kernel panicked", panic.line)
    if word is not None:
        if phase == "Succeeded":
            return answer(
                True, f"clean: {word.text.strip()!r} at t = {word.t:.3f} s, VMI Succeeded", word.line
            )
        if phase == "Failed":
            return answer(False, f"the guest said {word.text.strip()!r}, yet its VMI Failed", word.line)
        return undecided(
            f"the guest said {word.text.strip()!r}, but its VMI's phase is {phase or 'not known'}",
            proof=(word.line,),
            open_=waiting,
        )
    if ending.kills:
        return answer(False, "cut: killed by the kernel", *ending.kills[0].lines)
    if ending.gone is None:
        return undecided("it was not seen to end", open_=waiting)
    if phase == "Failed":
        return answer(False, "cut: VMI Failed, no farewell")
    last = ending.lines[-1] if ending.lines else None
    limit = LIVE_PROTO if ending.last("hello", "stat", "held") is not None else LIVE_CONSOLE
    live = last is not None and last.t >= ending.gone.high - limit
    if not live:
        why = "its console was silent or not recorded when it ended"
        return unobservable(f"{why}; VMI {phase or 'not seen'}", open_=waiting and phase not in FINAL)
    if phase == "Succeeded":
        return undecided(
            "its VMI Succeeded, but its live console showed no farewell", proof=tuple(sorted(proof))
        )
    assert last is not None
    still = f", VMI still {phase}" if phase else ""
    return answer(False, f"cut at {moment(ending.gone)}: no farewell on a live console{still}", last.line)


def _clean_pod(run: Run, ending: Ending) -> Seen:
    """Judge a plain pod, which has no guest: by the exit codes of its containers."""
    pod = ending.incarnation.pod
    codes = {t.container: t.exit_code for t in pod.terminations.values()} if pod is not None else {}
    if pod is None or not codes or any(code is None for code in codes.values()):
        return unobservable(
            "a plain pod whose containers' exit codes were not served", open_=not run.timeline.closed
        )
    text = ", ".join(f"{name} exit {code}" for name, code in sorted(codes.items()))
    return Seen(
        truth=Truth.of(all(code == 0 for code in codes.values()) and pod.phase == "Succeeded"),
        text=f"{text}, pod {pod.phase}",
        proof=tuple(sorted({t.line for t in pod.terminations.values()})),
        span=ending.gone,
    )


def look_phase(run: Run, wanted: Phase) -> Seen:
    """Judge the phases at the end of the window. A phase is an observation of its own; it does not date a death."""

    def one(ending: Ending) -> Seen:
        vmi, pod = ending.incarnation.vmi, ending.incarnation.pod
        parts: list[Truth] = []
        seen: list[str] = []
        proof: list[int] = []
        reasons: list[str] = []
        missed = False
        for name, track, admissible in (("VMI", vmi, wanted.vmi), ("pod", pod, wanted.pod)):
            if not admissible:
                continue
            if track is None or not track.phases:
                return unobservable(f"no {name} with a phase was served", open_=not run.timeline.closed)
            # What a VM or replica set owns may yet be followed by a successor of the same name.
            owner = track if vmi is None else vmi
            owned = bool(served.dig(owner.object, "metadata", "ownerReferences"))
            over = track.phase in FINAL or track.deleted is not None
            stays = over and (wanted.of == "victim" or not owned)
            truth, why = _phase(
                run, ending, fits=track.phase in admissible, stays=stays, admissible=admissible
            )
            missed = missed or track.phase not in admissible
            parts.append(truth)
            seen.append(f"{name} {track.phase}")
            proof.append(track.phases[-1].line)
            reasons += [f"{name} {track.phase} {why}"] if why else []
        truth = every(parts)
        text = ", ".join(seen)
        return Seen(
            truth=truth,
            text=text,
            proof=tuple(sorted(proof)),
            reason="; ".join(reasons) if truth is not Truth.TRUE else "",
            open=not run.timeline.closed and truth is Truth.STRADDLES and (missed or settling(run)),
        )

    return run.each(wanted.of, one)


def _phase(
    run: Run, ending: Ending, *, fits: bool, stays: bool, admissible: tuple[str, ...]
) -> tuple[Truth, str]:
    """Judge one phase: whether it fits, whether it can still change, and whether it only lags."""
    instead = f"instead of {' or '.join(admissible)}"
    if stays:
        return Truth.of(fits), "" if fits else instead
    if not run.timeline.closed:
        return Truth.STRADDLES, "so far" if fits else f"so far, {instead}"
    gone = ending.gone
    if not fits and FINAL & set(admissible) and gone is not None and run.timeline.end < gone.high + PHASE_LAG:
        return Truth.STRADDLES, f"{instead} at the end of the window, but a phase may lag by that much"
    return Truth.of(fits), "" if fits else instead
