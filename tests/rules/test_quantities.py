"""Quantities as Kubernetes parses, rounds, adds and prints them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.errors import QuantityError
from harness.rules.quantities import SUFFIXES, Format, Quantity, parse_bytes

_PARSED = [
    # written, served, bytes
    ("1024M", "1024M", 1024000000),
    ("1024Mi", "1Gi", 1073741824),
    ("3072Mi", "3Gi", 3221225472),
    ("2048M", "2048M", 2048000000),
    ("1Gi", "1Gi", 1073741824),
    ("1.5Gi", "1536Mi", 1610612736),
    ("0.5Gi", "512Mi", 536870912),
    ("1.5", "1500m", 2),
    ("0.1", "100m", 1),
    ("100m", "100m", 1),
    ("1500m", "1500m", 2),
    ("1000m", "1", 1),
    ("12e6", "12e6", 12000000),
    ("1e3", "1e3", 1000),
    ("1E3", "1E3", 1000),
    ("1E", "1E", 1000000000000000000),
    ("1Ei", "1Ei", 1152921504606846976),
    ("8Ei", "9223372036854775807", 9223372036854775807),
    ("1000k", "1M", 1000000),
    ("1024", "1024", 1024),
    ("1023Ki", "1023Ki", 1047552),
    ("1024Ki", "1Mi", 1048576),
    ("0.0001Ki", "102400u", 1),
    ("0.5Ki", "512", 512),
    ("1.25Ki", "1280", 1280),
    ("-1Mi", "-1Mi", -1048576),
    ("+1Mi", "+1Mi", 1048576),
    ("0", "0", 0),
    ("0Mi", "0", 0),
    ("007", "007", 7),
    ("1.", "1.", 1),
    (".5", "500m", 1),
    ("0.1n", "1n", 1),
    ("1T", "1T", 1000000000000),
    ("1P", "1P", 1000000000000000),
    ("1Ti", "1Ti", 1099511627776),
    ("1Pi", "1Pi", 1125899906842624),
    ("1u", "1u", 1),
    (" 1Gi ", "1Gi", 1073741824),
    ("1.024G", "1.024G", 1024000000),
    ("1.024k", "1.024k", 1024),
    ("1.500", "1.500", 2),
    ("0.250", "250m", 1),
    ("1.25", "1250m", 2),
    ("1.2345", "1234500u", 2),
    ("1000000k", "1G", 1000000000),
    ("1000000000000000001", "1000000000000000001", 1000000000000000001),
    ("1028Mi", "1028Mi", 1077936128),
    ("01028Mi", "01028Mi", 1077936128),
    ("01024Mi", "1Gi", 1073741824),
]
"""What is taken for canonical is printed as it was written (`ParseQuantity`, fast path): `1.024G` is never `1024M`."""


@pytest.mark.parametrize(("written", "served", "size"), _PARSED)
def test_parse_print_and_value(written: str, served: str, size: int) -> None:
    quantity = Quantity.parse(written)
    assert str(quantity) == served
    assert quantity.value() == size
    assert parse_bytes(written) == size


def test_arithmetic_prints_canonically() -> None:
    assert str(Quantity.parse("1.024G") + Quantity.parse("0")) == "1024M"
    assert str(Quantity.parse("+1Mi") - Quantity.parse("1")) == "1048575"
    assert str(Quantity.parse("1.234567").round_up_milli()) == "1235m"
    assert str(Quantity.parse("1.500").round_up_milli()) == "1.500"
    assert Quantity.parse("1.024G") == Quantity.parse("1024M")


@pytest.mark.parametrize(
    ("value", "served"), [(1024, "1024"), (1.5, "1500m"), (128.0, "128"), ("64M", "64M"), (0, "0")]
)
def test_yaml_numbers(value: object, served: str) -> None:
    assert str(Quantity.of(value)) == served


_REGEX = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX = "unable to parse quantity's suffix"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", _REGEX),
        ("128Mb", _REGEX),
        ("1GiB", _REGEX),
        ("1 Gi", _REGEX),
        ("abc", _REGEX),
        ("1.1.M", _REGEX),
        ("1+1.0M", _REGEX),
        ("1+1", _SUFFIX),
        ("1i", _SUFFIX),
        ("0.1mi", _SUFFIX),
        ("1MM", _SUFFIX),
        ("1K", _SUFFIX),
        ("1e", _SUFFIX),
        ("1e9999999999", _SUFFIX),
        ("١Gi", _REGEX),
    ],
)
def test_refusals_use_kubernetes_words(written: str, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        Quantity.parse(written)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [True, None, [], {"a": 1}])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(QuantityError):
        Quantity.of(value)


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        ("128Mi", "288Mi", "416Mi"),
        ("1024M", "303989888", "1327989888"),
        ("3072M", "288Mi", "3373989888"),
        ("0", "288Mi", "288Mi"),
        ("0Mi", "1M", "1M"),
        ("1Gi", "1M", "1074741824"),
        ("1M", "1Mi", "2048576"),
        ("100m", "1", "1100m"),
        ("12e6", "1k", "12001e3"),
        ("1Gi", "100m", "1073741824100m"),
    ],
)
def test_sums_keep_the_left_format(left: str, right: str, total: str) -> None:
    assert str(Quantity.parse(left) + Quantity.parse(right)) == total


def test_differences_keep_the_left_format() -> None:
    assert str(Quantity.parse("1Gi") - Quantity.parse("512Mi")) == "512Mi"
    assert str(Quantity(0) - Quantity.parse("1Mi")) == "-1Mi"


@pytest.mark.parametrize(
    ("written", "exponent", "units"),
    [("268435456", 3, 268436), ("256Mi", 3, 268436), ("1024M", 3, 1024000), ("1", 3, 1), ("1500m", -3, 1500)],
)
def test_scaled_values_round_up(written: str, exponent: int, units: int) -> None:
    assert Quantity.parse(written).scaled_value(exponent) == units


@pytest.mark.parametrize(
    ("written", "rounded"),
    [("142857143n", "143m"), ("100u", "1m"), ("100m", "100m"), ("5", "5"), ("1Gi", "1Gi"), ("-1u", "-1m")],
)
def test_pod_defaulting_rounds_up_to_milli(written: str, rounded: str) -> None:
    assert str(Quantity.parse(written).round_up_milli()) == rounded


_NUMBERS = st.builds(
    lambda whole, part, suffix: f"{whole}{'.' + str(part) if part is not None else ''}{suffix}",
    st.integers(0, 10**7),
    st.none() | st.integers(0, 999),
    st.sampled_from(
        [suffix for suffix in SUFFIXES if suffix not in {"E", "P", "Ei", "Pi"}] + ["e3", "e-3", "E2"]
    ),
)


@given(_NUMBERS)
def test_canonical_form_is_a_fixed_point(written: str) -> None:
    served = str(Quantity.parse(written))
    assert str(Quantity.parse(served)) == served
    assert Quantity.parse(served).nano == Quantity.parse(written).nano


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(list(Format)))
def test_whole_numbers_round_trip(size: int, fmt: Format) -> None:
    quantity = Quantity.of_bytes(size, fmt)
    assert quantity.value() == size
    assert Quantity.parse(str(quantity)).value() == size


@given(_NUMBERS)
def test_value_is_the_ceiling_of_the_exact_amount(written: str) -> None:
    quantity = Quantity.parse(written)
    exact = Fraction(quantity.nano, 10**9)
    assert quantity.value() - 1 < exact <= quantity.value()


@given(_NUMBERS, _NUMBERS)
def test_addition_is_exact_and_commutes_in_amount(left: str, right: str) -> None:
    a, b = Quantity.parse(left), Quantity.parse(right)
    assert (a + b).cmp(b + a) == 0
    assert (a + b).nano - b.nano == a.nano
    assert a.cmp(b) == -b.cmp(a)
