"""Write the archives of the examples again without model/config.json, which nothing reads."""

import json
import lzma
import zipfile
from pathlib import Path

from gru_bench.archive.container import MANIFEST, packed

for file in (Path(__file__).with_name(f"{study}.study") for study in ("homework", "amazon")):
    with lzma.open(file) as content, zipfile.ZipFile(content) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with packed(file, json.loads(members.pop(MANIFEST))["about"]) as add:
        for name, member in members.items():
            if not name.endswith("/files/model/config.json"):
                add(name, member)
