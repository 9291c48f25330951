"""The agent as cloud-init user data: one gzipped script, small enough for KubeVirt's limit.

Sources: KubeVirt v1 `cloudInitNoCloud.userDataBase64`, whose decoded bytes are limited to 2048
(pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go, cloudInitUserMaxLen); cloud-init docs,
"User data formats": a script begins with `#!`, and gzip-compressed user data is uncompressed first.
"""

from __future__ import annotations

import ast
import gzip
import re
from functools import cache
from pathlib import Path

LIMIT = 2048
"""Bytes of user data that KubeVirt admits."""
LACKS = frozenset({"cache", "record", "vram", "deaf"})
"""Verbs of console protocol 1 that this agent refuses."""

_SETUP = "dmesg -n1;swapoff -a;systemctl mask --runtime --now serial-getty@ttyS0;stty -F/dev/ttyS0 raw -echo"
"""Quiet kernel, no swap (what is held must stay in memory), no login on the console, no echo of what is sent."""
_DEAF = (
    ";d=/run/systemd/logind.conf.d;mkdir -p $d;printf '[Login]\\nHandlePowerKey=ignore'>$d/d.conf;"
    "systemctl restart systemd-logind"
)


def user_data(*, nonce: str, deaf: bool) -> bytes:
    """Return the user data of one guest: gzip, at most `LIMIT` bytes. `nonce`: hexadecimal."""
    setup = _SETUP + (_DEAF if deaf else "")
    given = f"NONCE,DEAF,SETUP={nonce!r},{str(int(deaf))!r},{setup!r}"
    packed = gzip.compress(_script().replace("#given", given).encode(), compresslevel=9, mtime=0)
    if len(packed) > LIMIT:
        raise ValueError(f"user data of {len(packed)} bytes: KubeVirt takes {LIMIT}")
    return packed


@cache
def _script() -> str:
    """Return the agent without what only readers and type checkers need; `#given` stands for the constants."""
    tree = ast.parse((Path(__file__).parent / "agent.py").read_text(encoding="utf-8"))
    body = ast.unparse(ast.fix_missing_locations(_Bare().visit(tree)))
    lines = [_tight(line) for line in re.sub(r"\nimport ", ",", body).splitlines() if line]
    return (
        "#!/usr/bin/env python3\n"
        + "\n".join(lines).replace("NONCE,DEAF,SETUP=('0','0','')", "#given")
        + "\n"
    )


def _tight(line: str) -> str:
    """Return a line of code indented by one blank a level, without blanks that only readers need."""
    code = line.lstrip()
    # What lies in quotes stays as it is; `ast.unparse` writes no comments and splits no statement.
    parts = re.split(r"""([bf]?'(?:[^'\\]|\\.)*'|[bf]?"(?:[^"\\]|\\.)*")""", code)
    parts[::2] = [re.sub(r" ?([-+*/%<>=!&|,:]+) ?", r"\1", part) for part in parts[::2]]
    return " " * ((len(line) - len(code)) // 4) + "".join(parts)


class _Bare(ast.NodeTransformer):
    """Drops docstrings, annotations and what is imported for them."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_ImportFrom(self, _node: ast.ImportFrom) -> None:
        return None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign([node.target], node.value) if node.value is not None else None

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
