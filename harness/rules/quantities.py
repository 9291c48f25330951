"""Kubernetes quantities, exactly: parsing, arithmetic, rounding and canonical printing.

Source: k8s.io/apimachinery/pkg/api/resource/{quantity,suffix,amount}.go (as vendored by KubeVirt main, Kubernetes 1.36).
Unit: an amount is a whole number of nano units (10^-9), the finest that Kubernetes keeps; memory is in bytes.
One difference: decimal amounts whose suffix would lie beyond `E` keep `E` (Kubernetes prints them without a suffix).
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass, field
from typing import Final, Self

from harness.rules.errors import QuantityError
from harness.units import Bytes

_NANO: Final = 10**9
_MAX: Final = (1 << 63) - 1
_FAST_DIGITS: Final = 18
_MAX_EXPONENT: Final = 400
"""Beyond this an exponent is refused instead of building a number of that many digits."""

FORMAT_WRONG: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
NUMERIC_WRONG: Final = "unable to parse numeric part of quantity"
SUFFIX_WRONG: Final = "unable to parse quantity's suffix"


class Format(enum.Enum):
    """The three ways a quantity is printed; it remembers the one it was written in."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {0: ""} | {exponent: suffix for suffix, exponent in _BINARY.items()}
SUFFIXES: Final = tuple(_DECIMAL) + tuple(_BINARY)
"""Every suffix Kubernetes knows, '' included; exponents (`1e6`) besides."""

_SCANNER: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<num>[0-9]*)(?:\.(?P<denom>[0-9]*))?(?P<suffix>[eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII
)
_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]+", re.ASCII)


def _divide_away_from_zero(value: int, divisor: int) -> int:
    quotient, rest = divmod(abs(value), divisor)
    quotient += rest > 0
    return quotient if value >= 0 else -quotient


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount with the format it is printed in. `==` also compares the format; `cmp` the amount only."""

    nano: int
    format: Format = Format.DECIMAL_SI
    written: str = field(default="", compare=False)
    """What was parsed, where Kubernetes keeps it instead of the canonical form (`0.250`, `1.024G`); arithmetic drops it."""

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Parse what stands in a manifest, white space around it allowed. Raises QuantityError with Kubernetes' text."""
        return _parse(text.strip())

    @classmethod
    def of(cls, value: object) -> Quantity:
        """Parse a YAML or JSON value: a string or a number. Raises QuantityError."""
        if isinstance(value, Quantity):
            return value
        if isinstance(value, str):
            return _parse(value.strip())
        if isinstance(value, int) and not isinstance(value, bool):
            return _parse(str(value))
        if isinstance(value, float):
            return _parse(str(int(value)) if value.is_integer() else repr(value))
        raise QuantityError(FORMAT_WRONG)

    @classmethod
    def of_bytes(cls, value: int, fmt: Format = Format.BINARY_SI) -> Self:
        """Make a quantity of so many units (`resource.NewQuantity`)."""
        return cls(value * _NANO, fmt)

    def value(self) -> Bytes:
        """Whole units (bytes), rounded away from zero (`Quantity.Value`)."""
        return Bytes(_divide_away_from_zero(self.nano, _NANO))

    def scaled_value(self, exponent: int) -> int:
        """Units of 10^exponent (exponent >= -9), rounded away from zero (`Quantity.ScaledValue`)."""
        return _divide_away_from_zero(self.nano, 10 ** (9 + exponent))

    def milli_value(self) -> int:
        """Thousandths, rounded away from zero (`Quantity.MilliValue`)."""
        return self.scaled_value(-3)

    def round_up_milli(self) -> Quantity:
        """Round away from zero to thousandths, as pod defaulting does (pkg/apis/core/v1/defaults.go SetDefaults_ResourceList)."""
        return self if self.nano % 10**6 == 0 else Quantity(self.scaled_value(-3) * 10**6, self.format)

    def is_zero(self) -> bool:
        """Whether the amount is zero, whatever its format."""
        return self.nano == 0

    def cmp(self, other: Quantity) -> int:
        """-1, 0 or 1 as this amount is less than, equal to or more than the other (`Quantity.Cmp`)."""
        return (self.nano > other.nano) - (self.nano < other.nano)

    def __add__(self, other: Quantity) -> Quantity:
        """Keep the left format, unless the left is zero (`Quantity.Add`)."""
        return Quantity(self.nano + other.nano, other.format if self.nano == 0 else self.format)

    def __sub__(self, other: Quantity) -> Quantity:
        """Keep the left format, unless the left is zero (`Quantity.Sub`)."""
        return Quantity(self.nano - other.nano, other.format if self.nano == 0 else self.format)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __str__(self) -> str:
        """As the API server serves it: canonical (`Quantity.CanonicalizeBytes`), or as written where that is kept."""
        if self.written:
            return self.written
        if self.nano == 0:
            return "0"
        if self.format is Format.BINARY_SI and abs(self.nano) >= 1024 * _NANO and self.nano % _NANO == 0:
            return _binary(self.nano // _NANO)
        return _decimal(
            self.nano,
            Format.DECIMAL_EXPONENT if self.format is Format.DECIMAL_EXPONENT else Format.DECIMAL_SI,
        )


ZERO: Final = Quantity(0)


def _binary(value: int) -> str:
    exponent = 0
    while exponent < 60 and value % 1024 == 0:
        value //= 1024
        exponent += 10
    return f"{value}{_BINARY_SUFFIX[exponent]}"


def _decimal(nano: int, fmt: Format) -> str:
    exponent = -9
    while nano % 1000 == 0 and (fmt is Format.DECIMAL_EXPONENT or exponent < 18):
        nano //= 1000
        exponent += 3
    if fmt is Format.DECIMAL_SI:
        return f"{nano}{_DECIMAL_SUFFIX[exponent]}"
    return f"{nano}e{exponent}" if exponent else str(nano)


def _interpret(suffix: str) -> tuple[int, int, Format]:
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Format.BINARY_SI
    if _EXPONENT.fullmatch(suffix):
        exponent = int(suffix[1:])
        if abs(exponent) <= _MAX_EXPONENT:
            return 10, exponent, Format.DECIMAL_EXPONENT
    raise QuantityError(SUFFIX_WRONG)


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    match = _SCANNER.fullmatch(text)
    if not text or match is None:
        raise QuantityError(FORMAT_WRONG)
    sign, num, denom, suffix = (group or "" for group in match.group("sign", "num", "denom", "suffix"))
    base, exponent, fmt = _interpret(suffix)
    if not num and not denom and (exponent < -9 or (base == 2 and exponent >= 50)):
        raise QuantityError(NUMERIC_WRONG)
    digits = int((num + denom) or "0")
    scale = -len(denom)
    if base == 2:
        digits <<= exponent
    else:
        scale += exponent
    scale += 9
    nano = digits * 10**scale if scale >= 0 else _divide_away_from_zero(digits, 10**-scale)
    if fmt is Format.BINARY_SI:
        nano = min(nano, _MAX * _NANO)
        if 0 < nano < _NANO:
            fmt = Format.DECIMAL_SI
    written = text if _kept(num, denom, exponent, fmt) else ""
    return Quantity(-nano if sign == "-" else nano, fmt, written)


def _kept(num: str, denom: str, exponent: int, fmt: Format) -> bool:
    """Whether the text is taken for canonical and printed again as it was written (`ParseQuantity`, its fast path)."""
    digits = (num.lstrip("0") or "0") + denom
    if fmt is Format.BINARY_SI:
        short = 15 - (len(digits) - len(denom)) - int(exponent * 3 / 10) - 1 >= 0
        return short and not denom and int(digits) & 7 != 0
    scale = exponent - len(denom)
    return (
        len(digits) <= _FAST_DIGITS
        and scale >= -9
        and scale % 3 == 0
        and not digits.endswith("000")
        and digits[0] != "0"
    )


def parse_bytes(value: object) -> Bytes:
    """Bytes of a quantity as written in a manifest. Raises QuantityError."""
    return Quantity.of(value).value()
