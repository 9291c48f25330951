from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.kube.config import choose, load
from harness.kube.errors import ConfigError


def file(path: Path, **document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document))
    return path


def named(kind: str, name: str, **details: Any) -> dict[str, Any]:
    return {"name": name, kind: details}


def test_several_files_merge_as_kubectl_merges_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = file(
        tmp_path / "a" / "config",
        clusters=[named("cluster", "one", server="https://first", **{"certificate-authority": "ca.pem"})],
        users=[named("user", "me", exec={"command": "./login", "apiVersion": "v1"})],
    )
    second = file(
        tmp_path / "b" / "config",
        clusters=[
            named("cluster", "one", server="https://ignored"),
            named("cluster", "two", server="https://second"),
        ],
        contexts=[named("context", "c", cluster="one", user="me", namespace="ns")],
        **{"current-context": "c"},
    )
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    chosen = choose(None)
    assert (chosen.context, chosen.cluster, chosen.server, chosen.namespace) == (
        "c",
        "one",
        "https://first",
        "ns",
    )
    assert chosen.files == (first, second)
    (one, two), (me,) = chosen.document["clusters"], chosen.document["users"]
    assert one["cluster"]["certificate-authority"] == f"{tmp_path}/a/ca.pem"
    assert me["user"]["exec"]["command"] == f"{tmp_path}/a/login"
    assert two["name"] == "two"


def test_a_single_file_is_known_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = file(
        tmp_path / "config",
        clusters=[named("cluster", "k", server="https://x")],
        contexts=[named("context", "c", cluster="k", user="u"), named("context", "d", cluster="k")],
        users=[named("user", "u", tokenFile="token", exec={"command": "aws"})],
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    assert choose(None, context="d").files == (config,)
    assert choose({"contexts": [named("context", "c")]}, context="c").files == ()
    user = choose(config, context="c").document["users"][0]["user"]
    assert user == {"tokenFile": f"{tmp_path}/token", "exec": {"command": "aws"}}
    assert choose(config, context="d").document["current-context"] == "d"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "not a mapping"),
        ("clusters: {a: b}", "clusters is not a list of mappings"),
        ("a: [", "while parsing"),
    ],
)
def test_files_that_are_no_kubeconfig(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/x:{tmp_path}/y")
    with pytest.raises(ConfigError, match=r"none of the files of \$KUBECONFIG is there \(.*/x:.*/y\)"):
        load()
