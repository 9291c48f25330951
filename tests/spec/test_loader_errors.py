"""Each way a scenario can be wrong: one line, `file:line:column: message (did you mean 'x'?)`, exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.errors import SpecError
from harness.spec.loader import load_scenario

MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: any}
spec:
  domain:
    devices: {disks: [{name: root}]}
    resources: {}
"""
GOOD = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: good, title: All is well}
budget: 100s
nodes:
  - name: target
    memory: 1Gi
    kubelet: {evictionHard: {memory.available: 200Mi}}
fleet:
  - {name: small, manifest: agent.yaml, set: {spec.domain.memory.guest: 512Mi}}
  - {name: large, manifest: agent.yaml}
workload:
  - when: {fleet: all, is: Running}
    grow: {fleet: [small, large], to: 130Mi, rate: 25Mi/s, pages: unique}
  - name: cross
    when: {step: done}
    grow: {fleet: small, until: {available: threshold - 60Mi}, rate: 5Mi/s}
promises:
  - {claim: HARD-2a, grace: {of: victim, max: 0s}}
requires:
  - evicted: {from: [small], count: 1, within: 15s, of: threshold-crossed}
  - survives: {fleet: large}
control: {nodes.target.memory: 2Gi}
"""
CLAIMS = ("HARD-2a", "HARD-2b", "SOFT-1a")


def write(folder: Path, text: str | bytes) -> Path:
    (folder / "agent.yaml").write_text(MANIFEST, encoding="utf-8")
    path = folder / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(path: Path, *, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(SpecError) as caught:
        load_scenario(path, overrides=overrides, claims=CLAIMS)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{path.parent}/", "")


def test_the_scenario_that_the_others_are_spoilt_copies_of_is_good(tmp_path: Path) -> None:
    assert load_scenario(write(tmp_path, GOOD), claims=CLAIMS).name == "good"


# (what is replaced, by what, the message)
CHANGED = [
    # keys
    (
        "budget: 100s",
        "kubevirtConfigMap: {memory-overcommit: 150}",
        "s.yaml:4:40: a ConfigMap's data are texts: write it in quotes",
    ),
    ("budget: 100s", "kubevirtConfigMap: [a]", "s.yaml:4:20: kubevirtConfigMap must be a mapping, not a list"),
    ("budget: 100s", "budgett: 100s", "s.yaml:4:1: unknown key 'budgett' in a scenario (did you mean 'budget'?)"),
    ("memory: 1Gi", "memroy: 1Gi", "s.yaml:7:5: unknown key 'memroy' in a node (did you mean 'memory'?)"),
    (
        "{name: large, manifest",
        "{name: large, manifset",
        "s.yaml:11:19: unknown key 'manifset' in a fleet (did you mean 'manifest'?)",
    ),
    ("rate: 25Mi/s", "rte: 25Mi/s", "s.yaml:14:46: unknown key 'rte' in grow (did you mean 'rate'?)"),
    (
        "when: {step: done}",
        "when: {stap: done}",
        "s.yaml:16:12: unknown key 'stap' in when (did you mean 'step'?)",
    ),
    ("  - name: cross", "  - name: cross\n    gorw: 1", "s.yaml:16:5: unknown key 'gorw' in a workload step (did you mean 'grow'?)"),
    ("max: 0s}", "maximum: 0s}", "s.yaml:19:42: unknown key 'maximum' in grace (did you mean 'max'?)"),
    ("title: All is well", "titel: All is well", "s.yaml:3:24: unknown key 'titel' in metadata (did you mean 'title'?)"),
    ("budget: 100s", "budget: 100s\nbudget: 90s", "s.yaml:5:1: duplicate key 'budget', first in line 4"),
    ("kind: Scenario", "kind: Scenariо", "s.yaml:2:7: kind 'Scenariо' is not a scenario's (did you mean 'Scenario'?)"),
    ("density/v1", "density/v2", "s.yaml:1:13: apiVersion 'density/v2' is not a scenario's (did you mean 'density/v1'?)"),
    ("kind: Scenario\n", "", "s.yaml:1:1: a scenario needs 'kind'"),
    ("metadata: {name: good, title: All is well}", "metadata: {name: good}", "s.yaml:3:11: metadata needs 'title'"),
    # quantities, durations, rates
    ("memory: 1Gi", "memory: 512Mb", "s.yaml:7:13: '512Mb' is not a quantity (did you mean '512Mi'?)"),
    ("memory: 1Gi", "memory: 512MB", "s.yaml:7:13: '512MB' is not a quantity (did you mean '512M'?)"),
    ("memory: 1Gi", "memory: 1 gi", "s.yaml:7:13: '1 gi' is not a quantity (did you mean '1Gi'?)"),
    ("memory: 1Gi", "memory: lots", "s.yaml:7:13: 'lots' is not a quantity"),
    ("memory: 1Gi", "memory: -1Gi", "s.yaml:7:13: an amount of memory cannot be negative: '-1Gi'"),
    ("memory: 1Gi", "memory: 0", "s.yaml:7:13: '0' is less than 1 byte"),
    ("memory: 1Gi", "memory: 512m", "s.yaml:7:13: '512m' is not a whole number of bytes (did you mean '512Mi'?)"),
    ("memory: 1Gi", "memory: 9Ei", "s.yaml:7:13: '9Ei' is more memory than there is"),
    ("memory: 1Gi", "memory: [1Gi]", "s.yaml:7:13: expected a quantity such as 512Mi, not a list"),
    ("memory: 1Gi", "memory: true", "s.yaml:7:13: expected a quantity such as 512Mi, not 'true' (true or false)"),
    ("budget: 100s", "budget: 100", "s.yaml:4:9: '100' is not a duration (did you mean '100s'?)"),
    ("budget: 100s", "budget: 2 minutes", "s.yaml:4:9: '2 minutes' is not a duration (did you mean '2m'?)"),
    ("budget: 100s", "budget: soon", "s.yaml:4:9: 'soon' is not a duration"),
    ("budget: 100s", "budget: -5s", "s.yaml:4:9: a duration cannot be negative: '-5s'"),
    ("within: 15s", "within: {s: 15}", "s.yaml:21:48: expected a duration such as 90s, not a mapping"),
    ("rate: 25Mi/s", "rate: 25Mi", "s.yaml:14:52: '25Mi' is not a rate; bytes a second, such as 25Mi/s (did you mean '25Mi/s'?)"),
    ("rate: 25Mi/s", "rate: 25Mib/s", "s.yaml:14:52: '25Mib' is not a quantity (did you mean '25Mi'?)"),
    ("rate: 25Mi/s", "rate: 25", "s.yaml:14:52: expected a rate such as 25Mi/s, not '25' (did you mean '25Mi/s'?)"),
    ("rate: 25Mi/s", "rate: 0Mi/s", "s.yaml:14:52: '0Mi' is less than 1 byte"),
    # amounts
    (
        "to: 130Mi",
        "to: 95%",
        "s.yaml:14:39: '95%' of a guest is refused: above 90% its init is out of memory and it panics (did you mean '90%'?)",
    ),
    ("to: 130Mi", "to: -5%", "s.yaml:14:39: a share of a guest cannot be negative: '-5%'"),
    ("to: 130Mi", "to: half%", "s.yaml:14:39: 'half%' is not a percentage"),
    ("to: 130Mi, ", "", "s.yaml:14:11: grow needs exactly one of 'to' and 'until'"),
    (
        "to: 130Mi",
        "to: 130Mi, until: {available: 1Mi}",
        "s.yaml:14:11: grow needs exactly one of 'to' and 'until'",
    ),
    (
        "available: threshold - 60Mi",
        "available: treshold - 60Mi",
        "s.yaml:17:45: 'treshold - 60Mi' is neither a threshold nor a quantity (did you mean 'threshold - 60Mi'?)",
    ),
    (
        "available: threshold - 60Mi",
        "available: threshold - 60Mo",
        "s.yaml:17:45: '60Mo' is not a quantity (did you mean '60M'?)",
    ),
    # references
    ("fleet: [small, large]", "fleet: [smal, large]", "s.yaml:14:20: no fleet named 'smal' (did you mean 'small'?)"),
    ("fleet: [small, large]", "fleet: [small, small]", "s.yaml:14:27: fleet 'small' is named twice"),
    ("fleet: [small, large]", "fleet: []", "s.yaml:14:19: no fleet is named"),
    ("{fleet: all, is: Running}", "{fleet: al, is: Running}", "s.yaml:13:19: no fleet named 'al' (did you mean 'all'?)"),
    ("is: Running", "is: running", "s.yaml:13:28: unknown state 'running'; one of Running, Ready (did you mean 'Running'?)"),
    ("fleet: all, is: Running", "fleet: all", "s.yaml:13:11: when needs 'fleet' and 'is' together"),
    ("{step: done}", "{step: cros}", "s.yaml:16:18: no earlier step named 'cros'"),
    ("{fleet: all, is: Running}", "{step: done}", "s.yaml:13:18: the first step has no step before it"),
    ("{step: done}", "{}", "s.yaml:16:11: when is empty; leave it out or name a trigger"),
    ("manifest: agent.yaml}", "manifest: agent.yaml, node: targt}", "s.yaml:11:47: no node named 'targt' (did you mean 'target'?)"),
    ("of: threshold-crossed", "of: threshold-crosed", "s.yaml:21:57: unknown moment 'threshold-crosed'; one of threshold-crossed, workload-done, step:grow-1, step:cross (did you mean 'threshold-crossed'?)"),
    ("survives: {fleet: large}", "survives: {fleet: larg}", "s.yaml:22:23: no fleet named 'larg' (did you mean 'large'?)"),
    # expectations
    ("claim: HARD-2a", "claim: HARD-2", "s.yaml:19:13: unknown claim 'HARD-2' (did you mean 'HARD-2a'?)"),
    ("claim: HARD-2a, ", "", "s.yaml:19:5: an item of promises needs 'claim'"),
    ("- survives:", "- survive:", "s.yaml:22:5: unknown key 'survive' in an item of requires (did you mean 'survives'?)"),
    ("- survives: {fleet: large}", "- {survives: {fleet: large}, claim: HARD-2a}", "s.yaml:22:32: unknown key 'claim' in an item of requires"),
    (
        "grace: {of: victim, max: 0s}",
        "grace: {of: victim, max: 0s}, shutdown: {of: victim, clean: false}",
        "s.yaml:19:52: two expectations in one item: grace and shutdown",
    ),
    (
        ", grace: {of: victim, max: 0s}",
        "",
        "s.yaml:19:5: an item of promises needs one expectation: request, qos, guest-memory, evicted, survives, grace, shutdown, oom, phase, admission, oom-score-adj, allocatable, configz, vnc, condition, successor, ratio, stall, holds-bytes, ksm, swap, integrity",
    ),
    ("{of: victim, max: 0s}", "{max: 0s}", "s.yaml:19:29: grace needs 'of' (a fleet, all or victim)"),
    ("{of: victim, max: 0s}", "{of: victim, fleet: small, max: 0s}", "s.yaml:19:29: grace says whom by one of 'of' and 'fleet', not both"),
    ("{of: victim, max: 0s}", "{of: victim}", "s.yaml:19:29: grace needs 'min' or 'max'"),
    ("{of: victim, max: 0s}", "{of: victim, min: 2s, max: 1s}", "s.yaml:19:47: min 2 is more than max 1"),
    ("survives: {fleet: large}", "survives: {fleet: victim}", "s.yaml:22:23: 'victim' cannot be meant by survives; name a fleet"),
    ("from: [small]", "from: [victim]", "s.yaml:21:22: 'victim' cannot be meant by evicted; name the admissible fleets"),
    ("count: 1,", "count: 3,", "s.yaml:21:37: count 3 is more than the 1 VMI it may be of"),
    ("count: 1,", "count: 2..1,", "s.yaml:21:37: count 2..1 is empty"),
    ("count: 1,", "count: many,", "s.yaml:21:37: 'many' is not a count such as 1, 1..2 or 1.."),
    ("within: 15s", "after: 20s, within: 15s", "s.yaml:21:47: after 20s is later than within 15s"),
    ("survives: {fleet: large}", "qos: {of: large, pod: Garanteed}", "s.yaml:22:27: unknown QoS class 'Garanteed'; one of Guaranteed, Burstable, BestEffort (did you mean 'Guaranteed'?)"),
    ("survives: {fleet: large}", "oom: {from: large, scope: pods}", "s.yaml:22:31: unknown scope 'pods'; one of guest, container, pod, node (did you mean 'pod'?)"),
    ("survives: {fleet: large}", "phase: {of: large, vmi: Failled}", "s.yaml:22:29: unknown phase 'Failled'; one of Pending, Scheduling, Scheduled, Running, Succeeded, Failed (did you mean 'Failed'?)"),
    ("survives: {fleet: large}", "shutdown: {of: large, clean: 'true'}", "s.yaml:22:34: expected true or false, not 'true' (did you mean 'true'?)"),
    ("survives: {fleet: large}", "request: {of: large}", "s.yaml:22:14: request needs a container, e.g. compute: {requests: 1024M}"),
    ("survives: {fleet: large}", "request: {of: large, compte: {requests: 1}}", "s.yaml:22:26: unknown container 'compte' in request (did you mean 'compute'?)"),
    ("survives: {fleet: large}", "request: {of: large, compute: {requests: {v1.5: 1}}}", "s.yaml:22:47: unknown KubeVirt column 'v1.5'; one of v1.6, v1.7, v1.8, v1.9, main (did you mean 'v1.6'?)"),
    ("survives: {fleet: large}", "request: {of: large, compute: {requests: {v1.9-v1.6: 1}}}", "s.yaml:22:47: columns 'v1.9-v1.6' run backwards (did you mean 'v1.6-v1.9'?)"),
    ("survives: {fleet: large}", "request: {of: large, compute: {limits: {v1.6-v1.9: 1, v1.8: 2}}}", "s.yaml:22:59: column v1.8 is given twice"),
    # steps
    ("    when: {step: done}", "    hold: {fleet: small}\n    when: {step: done}", "s.yaml:18:5: two verbs in one step: hold and grow"),
    ("    grow: {fleet: small, until: {available: threshold - 60Mi}, rate: 5Mi/s}\n", "", "s.yaml:15:5: a workload step needs one of grow, shrink, rewrite, touch, hold, cache, record, vram, stop, tune, or a profile: ramp, plateau, pulse, sawtooth, working-set, churn"),
    ("name: cross", "name: grow-1", "s.yaml:15:11: two steps are named 'grow-1'"),
    ("name: cross", "name: done", "s.yaml:15:11: a step cannot be named 'done'"),
    ("pages: unique", "pages: uniq", "s.yaml:14:67: unknown kind of pages 'uniq'; one of unique, shared, zero (did you mean 'unique'?)"),
    # names
    ("name: target", "name: My Target", "s.yaml:6:11: 'My Target' is not a name (lower case letters, digits and '-', at most 40) (did you mean 'my-target'?)"),
    ("{name: large,", "{name: small,", "s.yaml:11:12: two fleets are named 'small'"),
    ("{name: large,", "{name: victim,", "s.yaml:11:12: a fleet cannot be named 'victim'"),
    ("{name: large, manifest: agent.yaml}", "{name: small-1, manifest: agent.yaml}\n  - {name: small, manifest: agent.yaml, count: 2}", "s.yaml:12:12: two fleets are named 'small'"),
    ("{name: large, manifest: agent.yaml}", "{name: x-1, manifest: agent.yaml}\n  - {name: x, manifest: agent.yaml, count: 2}", "s.yaml:12:12: fleets 'x-1' and 'x' would both hold 'x-1'"),
    ("manifest: agent.yaml}", "manifest: agent.yaml, count: 0}", "s.yaml:11:48: 0 is less than 1"),
    ("manifest: agent.yaml}", "manifest: agent.yaml, count: two}", "s.yaml:11:48: expected a whole number, not 'two'"),
    ("manifest: agent.yaml}", "manifest: agent.yaml, fill: true}", "s.yaml:11:41: 'fill' needs 'count': the most VMIs it may come to"),
    ("manifest: agent.yaml}", "manifest: agent.yaml, count: 2, fill: true, stagger: 1s}", "s.yaml:11:63: 'stagger' has no meaning beside 'fill': the scheduler sets the pace"),
    # manifests
    ("{name: large, manifest: agent.yaml}", "{name: large, manifest: agnet.yaml}", "s.yaml:11:29: no such file: 'agnet.yaml' (did you mean 'agent.yaml'?)"),
    ("{name: large, manifest: agent.yaml}", "{name: large, manifest: .}", "s.yaml:11:29: '.' is a directory, not a file"),
    ("{name: large, manifest: agent.yaml}", "{name: large}", "s.yaml:11:5: a fleet needs 'manifest' (or 'match' for an imported recording)"),
    ("manifest: agent.yaml}", "manifest: {kind: VirtualMachineInstence, apiVersion: kubevirt.io/v1, spec: {}}}", "s.yaml:11:36: unknown kind 'VirtualMachineInstence'; one of VirtualMachineInstance, VirtualMachine (did you mean 'VirtualMachineInstance'?)"),
    ("manifest: agent.yaml}", "manifest: {kind: VirtualMachine, apiVersion: v1, spec: {}}}", "s.yaml:11:64: apiVersion 'v1' is not KubeVirt's (did you mean 'kubevirt.io/v1'?)"),
    ("manifest: agent.yaml}", "manifest: {kind: VirtualMachine, apiVersion: kubevirt.io/v1}}", "s.yaml:11:29: a manifest needs 'spec'"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: {spec.domain.devices.disks.rot.name: x}", "s.yaml:10:47: 'spec.domain.devices.disks' has no item named 'rot' (did you mean 'root'?)"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: {spec..x: 1}", "s.yaml:10:47: 'spec..x' is not a path"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: [1]", "s.yaml:10:46: set must be a mapping of paths to values, not a list"),
    ("manifest: agent.yaml}", "match: {names: [a]}, count: 2}", "s.yaml:11:40: 'count' has no meaning beside 'match': nothing is created"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: {spec.domain.memory.guest: 512Mb}", "s.yaml:10:73: '512Mb' is not a quantity (did you mean '512Mi'?)"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: {spec.domain.memory.gest: 512Mi}", "s.yaml:10:47: unknown field 'gest' in 'spec.domain.memory.gest' (did you mean 'guest'?)"),
    ("set: {spec.domain.memory.guest: 512Mi}", "set: {spec.domian.memory.guest: 512Mi}", "s.yaml:10:47: unknown field 'domian' in 'spec.domian.memory.guest' (did you mean 'domain'?)"),
    ("manifest: agent.yaml}", "manifest: [agent.yaml]}", "s.yaml:11:29: a manifest is one VMI or VM, not a list"),
    # fragments
    ("evictionHard: {", "evictionHrad: {", "s.yaml:8:15: unknown field 'evictionHrad' in KubeletConfiguration (did you mean 'evictionHard'?)"),
    ("memory.available: 200Mi", "memory.avialable: 200Mi", "s.yaml:8:30: unsupported eviction signal 'memory.avialable' in evictionHard (did you mean 'memory.available'?)"),
    ("memory.available: 200Mi", "memory.available: 200MB", "s.yaml:8:48: '200MB' is not a quantity (did you mean '200M'?)"),
    ("memory.available: 200Mi", "memory.available: 120%", "s.yaml:8:48: '120%' is not a percentage from 0% to 100%"),
    ("memory.available: 200Mi", "memory.available: 200", "s.yaml:8:48: memory.available must be text such as 200Mi or \"5%\", not '200' (did you mean '\"200\"'?)"),
    ("evictionHard: {", "evictionSoft: {", "s.yaml:8:30: evictionSoft memory.available needs an evictionSoftGracePeriod"),
    ("{evictionHard: {memory.available: 200Mi}}", "{memorySwap: {swapBehavior: UnlimitedSwap}}", "s.yaml:8:42: unknown swapBehavior 'UnlimitedSwap'; one of NoSwap, LimitedSwap (did you mean 'LimitedSwap'?)"),
    ("{evictionHard: {memory.available: 200Mi}}", "{systemReserved: {memroy: 1Mi}}", "s.yaml:8:32: unknown reserved resource 'memroy'; one of cpu, memory, ephemeral-storage, pid (did you mean 'memory'?)"),
    ("budget: 100s", "kubevirt: {developerConfiguration: {memoryOvercomit: 150}}", "s.yaml:4:37: unknown field 'memoryOvercomit' in developerConfiguration (did you mean 'memoryOvercommit'?)"),
    ("budget: 100s", "kubevirt: {memoryOvercommit: 150}", "s.yaml:4:12: 'memoryOvercommit' stands in developerConfiguration (did you mean 'developerConfiguration: {memoryOvercommit: …}'?)"),
    # the rest
    ("budget: 100s", "needs: [cgroup-wirte]", "s.yaml:4:9: no capability named 'cgroup-wirte' (did you mean 'cgroup-write'?)"),
    ("budget: 100s", "seed: -1", "s.yaml:4:7: -1 is less than 0"),
    ("budget: 100s", "kubevirtVersion: v1.9.0", "s.yaml:4:18: unknown KubeVirt column 'v1.9.0'; one of v1.6, v1.7, v1.8, v1.9, main (did you mean 'v1.9'?)"),
    ("control: {nodes.target.memory: 2Gi}", "control: {nodes.tarket.memory: 2Gi}", "s.yaml:23:11: 'nodes' has no item named 'tarket' (did you mean 'target'?)"),
    ("control: {nodes.target.memory: 2Gi}", "control: {nodes.target.memory: 2GB}", "s.yaml:23:32: '2GB' is not a quantity (did you mean '2G'?)"),
    ("control: {nodes.target.memory: 2Gi}", "control: 2Gi", "s.yaml:23:10: control must be a mapping of paths to values, e.g. {nodes.target.memory: 2Gi}"),
    ("control: {nodes.target.memory: 2Gi}", "stated: {window: {from: 9s, to: 5s}}", "s.yaml:23:33: the window ends before it begins"),
    ("fleet:\n  - {name: small, manifest: agent.yaml, set: {spec.domain.memory.guest: 512Mi}}\n  - {name: large, manifest: agent.yaml}", "fleet: []", "s.yaml:9:8: fleet is empty"),
    ("nodes:\n  - name: target\n    memory: 1Gi\n    kubelet: {evictionHard: {memory.available: 200Mi}}\n", "", "s.yaml:1:1: a scenario needs 'nodes'"),
    # YAML
    ("budget: 100s", "\tbudget: 100s", "s.yaml:4:1: not YAML: a tab; indent with spaces"),
    ("budget: 100s", "budget: 100s: 5", "s.yaml:4:13: not YAML: mapping values are not allowed here"),
    ("budget: 100s", "budget: 'a", "s.yaml:24:1: not YAML: found unexpected end of stream"),
    ("budget: 100s", "budget: *b", "s.yaml:4:9: not YAML: undefined alias 'b'"),
    ("budget: 100s", "budget: !!python/name:os.system x", "s.yaml:4:9: YAML tag 'tag:yaml.org,2002:python/name:os.system' is not allowed; plain data only"),
    ("budget: 100s", "[...]", "s.yaml:4:1: '[...]' stands for what the page leaves out: complete the manifest here"),
    ("control:", "---\ncontrol:", "s.yaml:24:1: a second YAML document begins here; one document a file"),
    ("budget: 100s", "budget: \x01", "s.yaml:4:9: character U+0001 may not stand in YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED, ids=[f"{n:03d}" for n in range(len(CHANGED))])
def test_one_line_says_where_and_what(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert message(write(tmp_path, GOOD.replace(old, new, 1))) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "s.yaml:1:1: the file is empty"),
        (b" \n\n", "s.yaml:1:1: the file is empty"),
        (b"# nothing\n", "s.yaml:1:1: the file holds only comments"),
        (b"- a\n", "s.yaml:1:1: a scenario must be a mapping, not a list"),
        (b"hello\n", "s.yaml:1:1: a scenario must be a mapping, not 'hello'"),
        (b"a: 1\nb: caf\xe9\n", "s.yaml:2:7: not UTF-8: byte 0xe9"),
        (b"a: &a [*a]\n", "s.yaml:1:4: an alias inside its own anchor"),
        (b"? [a]\n: b\n", "s.yaml:1:3: a key must be text"),
        (b"#" * ((1 << 20) + 1), "s.yaml:1:1: is larger than 1 MiB"),
    ],
)
def test_files_that_are_no_scenario_at_all(tmp_path: Path, data: bytes, expected: str) -> None:
    assert message(write(tmp_path, data)) == expected


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    assert message(write(tmp_path, bomb)) == "s.yaml:1:34: aliases multiply to more than 20000 nodes"


@pytest.mark.parametrize("text", ["[" * 100 + "]" * 100, "[" * 500_000, "{a: " * 100_000])
def test_deep_nesting_is_stopped(tmp_path: Path, text: str) -> None:
    place, _, said = message(write(tmp_path, text)).partition(": ")
    assert (place.startswith("s.yaml:1:"), said) == (True, "nested more than 64 levels deep")


def test_nesting_by_aliases_is_stopped(tmp_path: Path) -> None:
    text = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{x: *a{n - 1}}}\n" for n in range(1, 70))
    assert message(write(tmp_path, text)) == "s.yaml:1:13: nested more than 64 levels deep"


def test_a_missing_scenario_names_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert message(tmp_path / "s.yml") == "s.yml:1:1: no such file (did you mean 's.yaml'?)"


def test_a_directory_is_no_scenario(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert message(tmp_path / "d") == "d:1:1: is a directory, not a file"


def test_a_device_is_no_scenario() -> None:
    assert message(Path("/dev/null")) == "null:1:1: is not a regular file"


def test_a_broken_manifest_is_named_with_its_own_place(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (tmp_path / "agent.yaml").write_text(MANIFEST + "[...]\n", encoding="utf-8")
    assert message(path) == (
        "agent.yaml:8:1: '[...]' stands for what the page leaves out: complete the manifest here"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("budget", "--set budget:1:1: expected path=value"),
        ("budget=", "--set budget=:1:8: no value after '='; write null to remove"),
        ("budget=10", "--set budget=10:1:8: '10' is not a duration (did you mean '10s'?)"),
        ("budget=[", "--set budget=[:1:8: not YAML: expected the node content, but found '<stream end>'"),
        ("budgett=10s", "--set budgett=10s:1:1: unknown key 'budgett' in a scenario (did you mean 'budget'?)"),
        ("=5", "--set =5:1:1: the path is empty"),
        ("nodes.tagret.memory=1Gi", "--set nodes.tagret.memory=1Gi:1:1: 'nodes' has no item named 'tagret' (did you mean 'target'?)"),
        ("nodes.3.memory=1Gi", "--set nodes.3.memory=1Gi:1:1: 'nodes' has 1 items, no index 3"),
        ("budget.x=1", "--set budget.x=1:1:1: 'budget' is '100s' and has no 'x'"),
        ("workload.grow-2.grow.rate=1Mi/s", "--set workload.grow-2.grow.rate=1Mi/s:1:1: 'workload' has no item named 'grow-2' (did you mean 'grow-1'?)"),
        ("fleet.small.manifest.spec=1", "--set fleet.small.manifest.spec=1:1:1: 'fleet.small.manifest' is 'agent.yaml' and has no 'spec'"),
        ("nodes.target.kubelet.evictionHard.memory.available=1Mb", "--set nodes.target.kubelet.evictionHard.memory.available=1Mb:1:52: '1Mb' is not a quantity (did you mean '1Mi'?)"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_named_with_itself(tmp_path: Path, override: str, expected: str) -> None:
    assert message(write(tmp_path, GOOD), overrides=(override,)) == expected
