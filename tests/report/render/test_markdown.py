"""A report in Markdown escapes whatever a name holds."""

from __future__ import annotations

import re

import pytest

from gru_bench.report.render.markdown import escaped, markdown, shown
from tests.support.renderings import Rendered


@pytest.mark.parametrize(("text", "shown"), [
    ("<b>&", r"&lt;b\>&amp;"), ("a|b", r"a\|b"), ("# x", r"\# x"), ("- x", r"\- x"), ("1. x", r"1\. x"), ("1.5", "1.5"),
    ("@someone #12", r"&#64;someone \#12"), ("[x](y) `z` *a* _b_", r"\[x\](y) \`z\` \*a\* \_b\_"),
    ("http://x", "http&#58;//x"), ("-5 of", r"\-5 of"),
])
def test_markdown_escapes(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_names_from_right_to_left_keep_their_sides_of_a_minus() -> None:
    assert shown("\u05d0\u05d1 \u2212 \u0639*") == "\u2066\u05d0\u05d1\u2069 \u2212 \u2066\u0639\\*\u2069"


def test_no_name_becomes_markdown(hostile: Rendered) -> None:
    report = hostile.report
    # In the lines of a block of code, which are indented, nothing is markup.
    text = re.sub("^    .*\n", "", markdown(report), flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)[<`](?![0-9a-f]{32}|]|http://127)", text.replace("](<", "").replace("`](", ""))
    rows = [re.sub(r"\\.", "", line) for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)
    columns = {len(table.columns) + 1 for table in report.tables}
    assert {row.count("|") for row in rows} <= columns
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
