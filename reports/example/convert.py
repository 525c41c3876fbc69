"""Fit the baselines of the example studies again, and store them as runs in their archives.

    python reports/example/convert.py FOLDER STUDY ...   (the folder of the Amazon reviews)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import optuna

from gru_bench.archive.container import packed, unpack
from gru_bench.archive.study import _MEMBERS, JOURNAL, SUMMARY, read
from gru_bench.config import RunConfig, with_settings
from gru_bench.data.corpus import load_corpus
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import TRAIN_SECONDS, compared
from gru_bench.results.runs import StudySummary
from gru_bench.stats.baseline import baselines
from gru_bench.sweep import export as sweep_export
from gru_bench.sweep.sharing.trials import TrialNotes, baseline_key
from gru_bench.tracking.export import renamed_id
from gru_bench.tracking.outbox import FILES, RUN, Outbox
from gru_bench.tracking.provenance import provenance
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG
from gru_bench.tracking.record import Point, RunRecord
from gru_bench.tracking.view import NOTE
from gru_bench.tracking.writer import COMPLETE, _predicted, _test_set

SECTIONS = ("data.",)
KEPT = ("mlflow.user", "mlflow.source.name", "mlflow.source.type")


def convert(file: Path, reviews: Path) -> None:
    """Replace an archive by one whose study has a run for each baseline."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpack(file, folder, _MEMBERS)
        outbox = Outbox(folder, "")
        records, _ = read(outbox)
        contents = {entry.run_id: {path: one.read_bytes() for path, one in entry.files().items()}
                    for entry in outbox.entries()}
        parent = records[-1]
        params = next(record.params for record in records if record.first_tags["gru_bench.role"] == "confirm")
        settings = {key: None if text == "None" else text for key, text in params.items() if key.startswith(SECTIONS)}
        for key in ("data.name", "data.test_name"):
            if settings.get(key) and (reviews / Path(str(settings[key])).name).exists():
                settings[key] = str(reviews / Path(str(settings[key])).name)
        corpus = load_corpus(with_settings(RunConfig(), settings).data)
        fingerprint = parent.first_tags["gru_bench.data_fingerprint"]
        assert corpus.fingerprint == fingerprint, (file.name, corpus.fingerprint, fingerprint)
        summary = StudySummary.from_json(contents[parent.run_id][SUMMARY])
        old = json.loads(contents[parent.run_id].pop("baselines.json"))
        study = json.loads(contents[parent.run_id][SUMMARY])
        del study["baselines"]
        contents[parent.run_id][SUMMARY] = json.dumps(study, indent=2).encode()
        sweep_export.read_searches(folder / JOURNAL, parent.study)
        storage = sweep_export.open_storage(str(folder / JOURNAL), create=False)
        work = optuna.load_study(study_name=parent.study, storage=storage)
        for place, result in enumerate(baselines(corpus)):
            before = old[place] if place < len(old) else {"scores": {}, "seconds": 0.0}
            began = parent.time + 1000 * (place + 1)
            metrics = {TRAIN_SECONDS.key: result.seconds, **result.metrics}
            record = RunRecord(
                renamed_id(parent.run_id, result.model), began, parent.experiment, parent.run_id,
                first_tags={
                    **{key: parent.first_tags[key] for key in KEPT}, "mlflow.runName": f"{parent.study} {result.model}",
                    FORMAT_TAG: FORMAT, "gru_bench.role": "baseline", "gru_bench.study": parent.study,
                    "gru_bench.model": result.model, "gru_bench.state": "running", "gru_bench.complete": "false",
                    "gru_bench.data_fingerprint": fingerprint, NOTE: baseline_label(result.model, result.settings),
                    **{key: value for key, value in provenance().items() if "git" not in key},
                    **_test_set(result.predictions)},
                tags=dict(COMPLETE), params={key: str(value) for key, value in result.settings.items()},
                points=tuple(Point(key, float(value), 0, began) for key, value in sorted(metrics.items())),
                dataset=parent.dataset, status="FINISHED", ended=began)
            records.insert(-1, record)
            contents[record.run_id] = _predicted(result.predictions, result.classes)
            value = result.metrics[compared(summary.metric, "test").key]
            work.add_trial(optuna.trial.create_trial(value=value, user_attrs=TrialNotes(
                key=baseline_key(result.model), run_id=record.run_id).written()))
            print(f"{file.name}: {result.model} {dict(result.settings)}: test accuracy before "
                  f"{before['scores'].get('test', {}).get('accuracy')} at {before.get('regularization')}, "
                  f"now {result.metrics['score/test_accuracy']:.4f}, validation before "
                  f"{before['scores'].get('validation', {}).get('accuracy')}, now "
                  f"{result.metrics.get('score/val_accuracy')}, {before['seconds']:.1f} s, now {result.seconds:.1f} s",
                  flush=True)
        records = [*sorted(records[:-1], key=lambda record: (record.time, record.run_id)), parent]
        searches = sweep_export.read_searches(folder / JOURNAL, parent.study)
        about = {"study": parent.study, "experiment": parent.experiment, "runs": len(records),
                 "trials": sweep_export.count_trials(searches, parent.study),
                 "metric values": sum(len(record.points) for record in records)}
        with packed(file, about) as add:
            add(JOURNAL, (folder / JOURNAL).read_bytes())
            for number, record in enumerate(records, 2):
                for path, content in contents[record.run_id].items():
                    add(f"{number:06d}-{record.run_id}/{FILES}/{path}", content)
                add(f"{number:06d}-{record.run_id}/{RUN}", record.to_json().encode())


if __name__ == "__main__":
    time.perf_counter = time.process_time  # the seconds of a fit, on a machine that is busy
    for name in sys.argv[2:]:
        convert(Path(__file__).with_name(f"{name}.study"), Path(sys.argv[1]))
