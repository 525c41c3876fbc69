"""Converts the records of the example reports to format 7: a digest of each file that lies beside them."""

import json
from hashlib import sha256
from pathlib import Path

for path in sorted(Path("reports/example").glob("*/numbers.json")):
    found = json.loads(path.read_text(encoding="utf-8"))
    for key in ("drawings", "runs", "pages"):
        found.pop(key, None)
    found["format"] = 7
    found["digests"] = {name: sha256((path.parent / name).read_bytes()).hexdigest()
                        for name in ("report.html", "report.tex", "report.md") if (path.parent / name).is_file()}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
