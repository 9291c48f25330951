"""Where the data that ships with the harness lies: in a checkout beside the package, in a wheel inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the directory `suites` or `kind-config`, from the checkout if there is one, else from the wheel.

    Raises FileNotFoundError when neither is there (a broken installation).
    """
    for candidate in (_PACKAGE.parent / name, _PACKAGE / "_data" / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"{name}: not beside the package and not in it; reinstall kubevirt-density")


def claims_file() -> Path:
    """Return the claims registry, `suites/claims.yaml`."""
    return data_dir("suites") / "claims.yaml"


def baseline_file() -> Path:
    """Return what must come out of the suites, `suites/baseline.yaml`."""
    return data_dir("suites") / "baseline.yaml"


def techniques_file() -> Path:
    """Return the technique presets, `suites/techniques.yaml`."""
    return data_dir("suites") / "techniques.yaml"


REGISTRIES = frozenset(
    {"baseline.yaml", "can-fail.yaml", "claims.yaml", "techniques.yaml", "unpromised.yaml"}
)
"""Files of suites/ that are no scenarios."""
