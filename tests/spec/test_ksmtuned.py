"""KSM tuned by a file such as ksmtuned.conf, or by KubeVirt: what is read, and each way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.errors import SpecError
from harness.spec.ksmtuned import parse_tuned
from harness.spec.loader import control_of, load_from_source, load_scenario, source_for_run, source_from_run
from harness.spec.model import KsmSettings, KsmTuned, Scenario
from harness.spec.techniques import read_techniques

STOCK = """\
# Configuration file for ksmtuned.

# How long ksmtuned should sleep between tuning adjustments
# KSM_MONITOR_INTERVAL=60
# KSM_NPAGES_BOOST=300

# LOGFILE=/var/log/ksmtuned
# DEBUG=1
"""
CONF = """\
KSM_MONITOR_INTERVAL=2   # not a minute
export KSM_NPAGES_MAX="4000"
\tKSM_NPAGES_DECAY='-50'
KSM_NPAGES_BOOST=1
KSM_NPAGES_BOOST=2000
KSM_THRES_CONST=
KSM_SLEEP_MSEC=+5
LOGFILE=/var/log/ksmtuned
DEBUG=1
"""


def test_a_file_is_read_without_a_shell() -> None:
    assert parse_tuned(STOCK, file="c") == {}
    assert parse_tuned(CONF, file="c") == {
        "KSM_MONITOR_INTERVAL": 2,
        "KSM_NPAGES_MAX": 4000,
        "KSM_NPAGES_DECAY": -50,
        "KSM_NPAGES_BOOST": 2000,
        "KSM_SLEEP_MSEC": 5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("KSM_NPAGES_MXA=5", "c:1:1: ksmtuned knows no 'KSM_NPAGES_MXA' (did you mean 'KSM_NPAGES_MAX'?)"),
        ("\n  npages_max=5", "c:2:3: ksmtuned knows no 'npages_max' (did you mean 'KSM_NPAGES_MAX'?)"),
        ("KSM_NPAGES_MAX = 5", "c:1:1: a shell takes no space around '=' (did you mean 'KSM_NPAGES_MAX=5'?)"),
        ("KSM_NPAGES_MAX= 5", "c:1:15: a shell takes no space around '=' (did you mean 'KSM_NPAGES_MAX=5'?)"),
        ("KSM_NPAGES_MAX 5", "c:1:1: expected a comment or an assignment such as KSM_NPAGES_MAX=1250"),
        ("KSM_NPAGES_MAX: 5", "c:1:1: expected a comment or an assignment such as KSM_NPAGES_MAX=1250"),
        ("if true; then", "c:1:1: expected a comment or an assignment such as KSM_NPAGES_MAX=1250"),
        ("KSM_NPAGES_MAX=$((2*3))", "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ('KSM_NPAGES_MAX="$X"', "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ("KSM_NPAGES_MAX=`nproc`", "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ("KSM_NPAGES_MAX=5 KSM_NPAGES_MIN=5", "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ("KSM_NPAGES_MAX=5; rm -r /", "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ("KSM_NPAGES_MAX='5", "c:1:16: there is no shell here: write the value out, one assignment a line"),
        ("KSM_NPAGES_MAX=5k", "c:1:16: KSM_NPAGES_MAX must be a whole number, not '5k' (did you mean '5'?)"),
        ("KSM_NPAGES_MAX=010", "c:1:16: KSM_NPAGES_MAX must be a whole number, not '010' (did you mean '10'?)"),
        ("KSM_NPAGES_MAX=many", "c:1:16: KSM_NPAGES_MAX must be a whole number, not 'many'"),
        ("KSM_NPAGES_MAX=5\r\n", "c:1:17: a carriage return; a shell would take it for part of the value"),
        ("KSM_NPAGES_DECAY=50", "c:1:18: KSM_NPAGES_DECAY: 50 is more than 0 (did you mean '-50'?)"),
        ("KSM_NPAGES_BOOST=-300", "c:1:18: KSM_NPAGES_BOOST: -300 is less than 0 (did you mean '300'?)"),
        ("KSM_THRES_COEF=120", "c:1:16: KSM_THRES_COEF: 120 is more than 100"),
        ("KSM_MONITOR_INTERVAL=0", "c:1:22: KSM_MONITOR_INTERVAL: 0 is less than 1"),
        ("KSM_NPAGES_MIN=2000", "c:1:16: KSM_NPAGES_MAX 1250 is less than KSM_NPAGES_MIN 2000"),
        ("KSM_NPAGES_MIN=10\nKSM_NPAGES_MAX=9", "c:2:16: KSM_NPAGES_MAX 9 is less than KSM_NPAGES_MIN 10"),
    ],
)  # fmt: skip
def test_a_bad_line_is_an_error_where_it_stands(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_tuned(text, file="c")
    assert str(caught.value) == message


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_settings_or_one_error(text: str) -> None:
    for line in (text, f"KSM_NPAGES_MAX={text}"):
        try:
            found = parse_tuned(line, file="c")
        except SpecError as error:
            told = str(error)
        else:
            told = f"c:{sorted(found)}"
        assert told.startswith("c:")


# -- in a scenario ---------------------------------------------------------------------------------------------------

MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: any}
spec: {domain: {devices: {}, memory: {guest: 512Mi}}}
"""
TEXT = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: x, title: x}
nodes: [{name: a}]
host: {ksm: KSM}
fleet: [{name: hog, manifest: m.yaml}]
requires: [{survives: {fleet: hog}}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "fast.conf").write_text("KSM_NPAGES_MAX=4000\n", encoding="utf-8")
    (tmp_path / "slow.conf").write_text("KSM_NPAGES_MAX=100\n", encoding="utf-8")
    (tmp_path / "bad.conf").write_text("# a\nKSM_NPAGES_MAX=x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(here: Path, ksm: str, *overrides: str, more: str = "") -> Scenario:
    (here / "s.yaml").write_text(TEXT.replace("KSM", ksm) + more, encoding="utf-8")
    return load_scenario("s.yaml", overrides=overrides)


def test_a_file_beside_the_scenario(here: Path) -> None:
    scenario = load(here, "{tuned: fast.conf, smart_scan: false, advisor: none}")
    assert scenario.host.ksm == KsmSettings(
        run=0,
        smart_scan=False,
        advisor="none",
        tuned=KsmTuned(file="fast.conf", values={"KSM_NPAGES_MAX": 4000}),
    )
    assert scenario.host.ksm.merges
    # it begins stopped
    assert scenario.host.ksm.files == {"advisor_mode": "none", "smart_scan": "0", "run": "0"}


def test_its_settings_inline(here: Path) -> None:
    text = "{tuned: {KSM_NPAGES_MAX: 4000, KSM_NPAGES_DECAY: -5}}"
    ksm = load(here, text, "host.ksm.tuned.KSM_NPAGES_MIN=10").host.ksm
    assert ksm is not None
    assert ksm.tuned == KsmTuned(
        values={"KSM_NPAGES_MAX": 4000, "KSM_NPAGES_DECAY": -5, "KSM_NPAGES_MIN": 10}
    )


def test_by_kubevirt(here: Path) -> None:
    ksm = load(here, "{by: kubevirt}").host.ksm
    assert ksm == KsmSettings(run=0, by="kubevirt")
    assert ksm.merges
    assert not KsmSettings(run=0).merges
    assert KsmSettings(run=1).merges


@pytest.mark.parametrize("tuner", ["{tuned: fast.conf}", "{by: kubevirt, smart_scan: false}"])
def test_who_tunes_stands_above_a_technique_s_knobs(here: Path, tuner: str) -> None:
    plain = load(here, tuner).host.ksm
    with_technique = load(here, tuner, more="technique: ksm\n")
    assert with_technique.host.ksm == plain
    assert with_technique.kubevirt == {"ksmConfiguration": {"nodeLabelSelector": {}}}
    assert with_technique.technique == "ksm"


def test_a_run_keeps_the_file_and_a_control_may_name_another(here: Path) -> None:
    scenario = load(here, "{tuned: fast.conf}", more="control: {host.ksm.tuned: slow.conf}\n")
    kept = source_from_run(source_for_run(scenario.source))
    (here / "fast.conf").unlink()
    (here / "slow.conf").unlink()
    again = load_from_source(kept)
    assert again.host == scenario.host
    control = control_of(again)
    assert control is not None
    assert control.host.ksm is not None
    assert control.host.ksm.tuned == KsmTuned(file="slow.conf", values={"KSM_NPAGES_MAX": 100})


@pytest.mark.parametrize(
    ("ksm", "more", "message"),
    [
        ("{tuned: bad.conf}", "", "bad.conf:2:16: KSM_NPAGES_MAX must be a whole number, not 'x'"),
        ("{tuned: fats.conf}", "", "s.yaml:5:21: no such file: 'fats.conf' (did you mean 'fast.conf'?)"),
        ("{tuned: 5}", "", "s.yaml:5:21: expected the path of a file such as ksmtuned.conf, or its settings as a mapping, not '5'"),
        ("{tuned: {KSM_NPAGES_MXA: 5}}", "", "s.yaml:5:22: unknown key 'KSM_NPAGES_MXA' in tuned (did you mean 'KSM_NPAGES_MAX'?)"),
        ("{tuned: {KSM_THRES_COEF: 101}}", "", "s.yaml:5:38: 101 is more than 100"),
        ("{tuned: {KSM_NPAGES_MAX: 10}}", "", "s.yaml:5:38: KSM_NPAGES_MAX 10 is less than KSM_NPAGES_MIN 64"),
        ("{tuned: fast.conf, run: 1}", "", "s.yaml:5:32: 'run' is the file's to set; leave one of them out"),
        ("{tuned: fast.conf, sleep_millisecs: 1}", "", "s.yaml:5:32: 'sleep_millisecs' is the file's to set; leave one of them out"),
        ("{by: kubevirt, pages_to_scan: 1}", "", "s.yaml:5:28: 'pages_to_scan' is KubeVirt's to set; leave one of them out"),
        ("{tuned: fast.conf, advisor: scan-time}", "", "s.yaml:5:41: the advisor would set pages_to_scan, which is the file's to set; leave one of them out"),
        ("{tuned: fast.conf, by: kubevirt}", "", "s.yaml:5:32: 'tuned' and 'by' both set KSM; leave one of them out"),
        ("{by: kubevrit}", "", "s.yaml:5:18: unknown tuner of KSM 'kubevrit'; one of kubevirt (did you mean 'kubevirt'?)"),
        ("{tuned: fast.conf}", "workload: [{name: more, tune: {ksm: {run: 1}}}]\n", "s.yaml:5:14: 'tuned' sets KSM while the scenario runs, and so would step 'more' in line 8; leave one of them out"),
        ("{by: kubevirt}", "workload: [{tune: {ksm: {run: 1}}}]\n", "s.yaml:5:14: 'by' sets KSM while the scenario runs, and so would step 'tune-1' in line 8; leave one of them out"),
        ("{run: 0}", "workload: [{tune: {ksm: {tuned: fast.conf}}}]\n", "s.yaml:8:26: unknown key 'tuned' in tune.ksm"),
    ],
)  # fmt: skip
def test_mistakes(here: Path, ksm: str, more: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(here, ksm, more=more)
    assert str(caught.value) == message


def test_one_node_or_none_is_meant(here: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(here, "{tuned: fast.conf}", "nodes=[{name: a}, {name: b}]")
    assert str(caught.value) == "s.yaml:5:14: 'tuned' goes by the memory of one node; this scenario has 2"


def test_a_preset_names_no_file() -> None:
    text = """\
apiVersion: density/v1
kind: Techniques
base: {}
techniques: [{name: t, title: t, host: {ksm: {tuned: FILE}}}]
"""
    inline = text.replace("FILE", "{KSM_NPAGES_MAX: 2000}")
    assert read_techniques(inline, file="t").known["t"].host is not None
    with pytest.raises(SpecError) as caught:
        read_techniques(text, file="t")
    assert str(caught.value) == "t:4:54: no file can be named here; write its settings as a mapping"
