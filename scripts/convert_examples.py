"""Take the settings that were removed before the first release out of the example archives.

    python scripts/convert_examples.py

Each of them has its value without effect everywhere. An archive that contains none is left as it is.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from gru_bench.archive.container import MANIFEST, packed
from gru_bench.archive.study import JOURNAL
from gru_bench.config import was_without_effect
from gru_bench.tracking.outbox import RUN
from gru_bench.tracking.record import RunRecord


def without_removed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with dotted names without the removed ones."""
    return {name: value for name, value in settings.items() if not was_without_effect(name, value)}


def converted_journal(content: bytes) -> bytes:
    """Return Optuna's journal with the identities of its searches converted."""
    lines = []
    for line in content.splitlines(keepends=True):
        operation = json.loads(line)
        noted = [value for value in operation.get("user_attr", {}).values()
                 if isinstance(value, dict) and "identity" in value]
        for value in noted:
            value["identity"] = without_removed(value["identity"])
        lines.append(json.dumps(operation, separators=(",", ":")).encode() + b"\n" if noted else line)
    return b"".join(lines)


def converted_record(content: bytes) -> bytes:
    """Return the record of a run with its params converted."""
    record = RunRecord.from_json(content)
    return replace(record, params=without_removed(dict(record.params))).to_json().encode()


def converted_config(content: bytes) -> bytes:
    """Return the config of a model as it was stored, converted."""
    config = {section: {key: value for key, value in values.items()
                        if not was_without_effect(f"{section}.{key}", value)}
              if isinstance(values, dict) else values for section, values in json.loads(content).items()}
    return json.dumps(config, indent=2).encode()


def converted(name: str, content: bytes) -> bytes:
    """Return the content of a member, converted."""
    if name == JOURNAL:
        return converted_journal(content)
    if name.endswith(f"/{RUN}"):
        return converted_record(content)
    return converted_config(content) if name.endswith("/model/config.json") else content


for path in sorted(Path("reports/example").glob("*.study")):
    with zipfile.ZipFile(io.BytesIO(lzma.decompress(path.read_bytes()))) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    after = {name: converted(name, content) for name, content in before.items()}
    changed = [name for name in before if before[name] != after[name]]
    print(f"{path}: {len(changed)} of {len(before)} members change")
    if changed:
        with packed(path, json.loads(before[MANIFEST])["about"]) as add:
            for name, content in after.items():
                if name != MANIFEST:
                    add(name, content)
