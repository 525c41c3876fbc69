"""Write the archives of the examples again without what `diagnose` no longer computes.

    python tests/convert_diagnostics.py

takes the neighbors of words and the attributions by gradient times input out of each `diagnostics.json`.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from pathlib import Path

from gru_bench.archive.container import MANIFEST, packed
from gru_bench.results.diagnostics import DIAGNOSTICS, Diagnostics

EXAMPLES = Path(__file__).resolve().parent.parent / "reports" / "example"


def converted(content: bytes) -> bytes:
    """Return the content of a `diagnostics.json` in its new form."""
    found = json.loads(content)
    del found["neighbours"]
    found["attributions"] = [{key: value for key, value in one.items() if key != "method"}
                             for one in found["attributions"] if one["method"] == "occlusion"]
    return Diagnostics.from_json(json.dumps(found)).to_json().encode()


def main() -> None:
    """Convert each archive that holds diagnostics."""
    for path in sorted(EXAMPLES.glob("*.study")):
        with zipfile.ZipFile(io.BytesIO(lzma.decompress(path.read_bytes()))) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        if not any(name.endswith(f"/{DIAGNOSTICS}") for name in members):
            continue
        about = json.loads(members.pop(MANIFEST))["about"]
        with packed(path, about) as add:
            for name, content in members.items():
                add(name, converted(content) if name.endswith(f"/{DIAGNOSTICS}") else content)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
