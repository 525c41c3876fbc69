"""Is a GRU right? `assert_is_gru` for a test, and the command `gru-bench gru-check` for a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gru_bench.gru_check.codes import Verdict

__all__ = ["assert_is_gru"]


def assert_is_gru(built: Any, *conventions: str) -> Verdict:
    """Fail unless an object is a GRU. Return the verdict.

    Args:
        built: A module of torch, cell or layer. It is copied first.
        conventions: Codes that are allowed, such as "equal" and "update-inverted". By default any convention is.

    Raises:
        AssertionError: When it is no GRU, or has a convention that is not allowed. The message holds all findings.
        ValueError: For an unknown code.
        RunError: When it cannot be called.
    """
    from gru_bench.gru_check.check import check_object
    from gru_bench.gru_check.codes import KINDS

    known = [code for code, kind in KINDS.items() if kind.right and not kind.warning]
    for code in conventions:
        if code not in known:
            raise ValueError(f"a convention must be one of {', '.join(known)}, but got {code!r}")
    verdict = check_object(built)
    wrong = [finding for finding in verdict.findings
             if not finding.kind.right
             or (conventions and not finding.kind.warning and finding.code not in conventions)]
    if wrong:
        raise AssertionError("\n".join(
            f"{f.said}{f' (line {f.line})' if f.line else ''}\n{f.kind.equation}" for f in wrong))
    return verdict
