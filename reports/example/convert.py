"""Write the numbers of the example reports as they are computed now: convert.py FOLDER, which has them newly computed.

What is known keeps its bytes, and each run the id that it has in the record.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*/numbers.json")):
    record = json.loads(path.read_text(encoding="utf-8"))
    fresh = json.loads((Path(sys.argv[1]) / path.parent.name / "numbers.json").read_text(encoding="utf-8"))
    known, made = record["numbers"], fresh["numbers"]
    ids = {new: old for key in known.keys() & made.keys()
           for old, new in zip(known[key]["runs"], made[key]["runs"], strict=True)}
    for key, number in made.items():
        number["runs"] = [ids[run] for run in number["runs"]]
        kept = known.get(key)
        for part in ("value", "interval", "range"):
            old = kept.get(part) or kept.get("interval") if kept else None
            if part in number and number[part] is not None and old is not None:
                number[part] = old
    print(path.parent.name, "gone:", *sorted(known.keys() - made.keys()))
    print(path.parent.name, "come:", *sorted(made.keys() - known.keys()))
    record |= {"format": fresh["format"], "numbers": made, "on_test": fresh["on_test"]}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
