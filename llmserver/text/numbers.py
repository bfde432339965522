"""Write the integers, and the numbers between whole bounds, as grammar rules. Knows digits only, no schemas."""

from __future__ import annotations

from llmserver.text.gbnf import Rules, literal

# As many digits as JSON's own rules allow: 64-bit numbers fit.
MAX_DIGITS = 19
_FRACTION = '("." [0-9]{1,18})?'
_ZEROS = '("." "0"{1,18})?'
_NOT_ZERO = '"." "0"{0,17} [1-9] [0-9]{0,17}'


def integer_rule(rules: Rules, low: int | None, high: int | None) -> str:
    """Every integer from `low` to `high`; None is no bound on that side."""
    return rules.add(" | ".join(_signed(rules, low, high)), "integer")


def number_rule(rules: Rules, low: int | None, high: int | None, *, above: bool = False, below: bool = False) -> str:
    """Every decimal number from `low` to `high` (excluded if `above`, `below`), written without exponent."""
    ways = []
    if high is None or high >= 0:
        ways += _decimals(max(low or 0, 0), high, above and low is not None and low >= 0, below)
    if low is None or low < 0:
        least = 0 if high is None or high > 0 else -high
        sizes = _decimals(least, None if low is None else -low, below and high is not None and high <= 0, above)
        ways += [f'"-" {rules.add(" | ".join(sizes), "size")}'] if sizes else []
    return rules.add(" | ".join(ways), "number")


def _decimals(low: int, high: int | None, above: bool, below: bool) -> list[str]:
    whole = _digits(low + 1 if above else low, None if high is None else high - 1)
    ways = [f"({' | '.join(whole)}) {_FRACTION}"] if whole else []
    if above and (high is None or low < high):
        ways.append(f"{literal(str(low))} {_NOT_ZERO}")
    if high is not None and not below and (low < high or not above):
        ways.append(f"{literal(str(high))} {_ZEROS}")
    return ways


def _signed(rules: Rules, low: int | None, high: int | None) -> list[str]:
    ways = []
    if high is None or high >= 0:
        ways += _digits(max(low or 0, 0), high)
    if low is None or low < 0:
        negative = _digits(max(-(high if high is not None else -1), 1), None if low is None else -low)
        ways += [f'"-" {rules.add(" | ".join(negative), "digits")}'] if negative else []
    return ways


def _digits(low: int, high: int | None) -> list[str]:
    """The counting numbers from `low` to `high`, as alternatives."""
    if high is None:
        size = len(str(low))
        longer = [f"[1-9] [0-9]{{{size},{MAX_DIGITS - 1}}}"] if size < MAX_DIGITS else []
        return _same_length(str(low), "9" * size) + longer
    ways: list[str] = []
    for size in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (size - 1) if size > 1 else 0), min(high, 10**size - 1)
        if first <= last:
            ways += _same_length(str(first), str(last))
    return ways


def _same_length(low: str, high: str) -> list[str]:
    """Numbers with as many digits as both bounds have."""
    if not low:
        return ['""']
    if low == "0" * len(low) and high == "9" * len(high):
        return [f"[0-9]{{{len(low)}}}"]
    if low[0] == high[0]:
        return [f"{literal(low[0])} {_group(_same_length(low[1:], high[1:]))}"]
    rest = len(low) - 1
    ways = [f"{literal(low[0])} {_group(_same_length(low[1:], '9' * rest))}"]
    first, last = chr(ord(low[0]) + 1), chr(ord(high[0]) - 1)
    if first <= last:
        ways.append(f"[{first}-{last}]" + (f" [0-9]{{{rest}}}" if rest else ""))
    return [*ways, f"{literal(high[0])} {_group(_same_length('0' * rest, high[1:]))}"]


def _group(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else f"({' | '.join(ways)})"
