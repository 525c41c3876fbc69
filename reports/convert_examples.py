"""Convert the examples' archives to the record of a study: one script for one change, removed after it."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from gru_bench.archive.container import MANIFEST, pack
from gru_bench.sweep.study import FORMAT

NOTES = {"identity": "identity", "startup trials": "startup trials", "trials asked": "trials asked", "spent": "exhausted"}


def converted(found: dict[str, Any]) -> dict[str, Any]:
    """Return the content of searches.json in the new form."""
    searches = found["searches"]
    main = next((one for one in searches if one["user"].get("holds the study")), min(
        searches, key=lambda one: str(one["model"])))
    user: dict[str, Any] = {"format": FORMAT}
    models = [one["model"] for one in searches]
    for key, value in main["user"].items():
        if key.startswith("start "):
            lease = {name: part for name, part in value.items() if name not in ("searching", "working")}
            user[key] = {**lease, "models": models, "searching": []}
        elif key in ("starts", "looks taken"):
            user[key] = value
    work: list[dict[str, Any]] = []
    for one in searches:
        first = len(work)
        for run in one["runs"]:
            notes = dict(run["user"])
            if not notes["key"].startswith("follow-up "):
                notes["key"] = f"{one['model']} {notes['key']}"
            if "retry_of" in notes:
                notes["retry_of"] += first
            work.append({**run, "user": notes})
        user[f"search {one['model']}"] = {new: one["user"][old] for old, new in NOTES.items() if old in one["user"]}
        known = {*NOTES, "starts", "looks taken", "format", "importing", "holds the study"}
        assert all(key in known or key.startswith("start ") for key in one["user"]), one["user"].keys()
    return {"user": user, "work": work,
            "searches": [{"model": one["model"], "trials": one["trials"]} for one in searches]}


def main() -> None:
    """Convert all archives."""
    for path in sorted((Path(__file__).parent / "example").glob("*.study")):
        with tempfile.TemporaryDirectory(dir=path.parent) as place:
            folder = Path(place) / "files"
            with zipfile.ZipFile(path) as archive:
                about = json.loads(archive.read(MANIFEST))["about"]
                archive.extractall(folder)
            (folder / MANIFEST).unlink()
            file = folder / "searches.json"
            content = converted(json.loads(file.read_text(encoding="utf-8")))
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
            pack(path, folder, about)
            print(path.name, {key for key in content["user"]}, len(content["work"]))


if __name__ == "__main__":
    main()
