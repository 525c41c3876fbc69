"""The command `gru-bench save-model`: keep a trained model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.errors import UsageError, without_passwords

if TYPE_CHECKING:
    from gru_bench.evidence.candidates import Candidate, Candidates
    from gru_bench.models.trained import TrainedModel

app = cli.app()


@app.command()
def save_model(
    folder: Annotated[Path | None, typer.Argument(
        metavar="[DIR]", help="Folder to write. Optional with --register.", show_default=False)] = None,
    study: Annotated[str | None, typer.Option(
        help="Study whose model to save.", show_default="the newest finished one")] = None,
    model: Annotated[str | None, typer.Option(
        help="Another model of the study, such as torch, ngrams or average.", show_default=False)] = None,
    register: Annotated[bool, typer.Option(
        "--register", help="Also register it in MLflow, under the study's name and the alias best, for mlflow models "
        "serve -m models:/NAME@best --env-manager local.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a saved model in the folder.")] = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Save the model that a study takes, the best one on validation, to a folder that predicts without the data.

    The folder contains the weights of all confirmation seeds, the words and their vectors, and a model card. Of a
    linear model it contains n-grams and their weights, of the average both. It has no pickle and no text of the data.
    gru-bench predict --model DIR asks it.
    """
    if folder is None and not register:
        raise UsageError("a folder to save the model to is needed: give one, or add --register")
    from gru_bench.inference import taken
    from gru_bench.inference.card import EXAMPLE
    from gru_bench.models import saved
    from gru_bench.tracking import open_reader

    if folder is not None:
        saved.check_free(folder, force=force)
    console = cli.out()
    store = open_reader(tracking_uri)
    with console.status("reading the model"):
        logged = taken.study_of(store, study)
        candidates = taken.candidates(store, logged)
        chosen = taken.asked(candidates, logged.name, model)
        trained = taken.read(store, chosen)
    with tempfile.TemporaryDirectory(prefix="gru-bench-model-") as temporary:
        place = folder or Path(temporary) / "model"
        with console.status("writing the model"):
            size = write_model(chosen, candidates, trained, place, force=force)
        what = f"{chosen.label} of the study {logged.name}"
        if model is None and candidates.others:
            what += f" (the best on validation; the others: {', '.join(one.label for one in candidates.others)})"
        if folder is not None:
            console.print(f"wrote {folder}: {what}, {size:,} bytes", markup=False)
        if register:
            from gru_bench.tracking.registry import register as registered

            with console.status("registering the model in MLflow"):
                found = registered(
                    store, chosen.study.run, place, Path(__file__).with_name("served.py"),
                    content=saved.content(place), classes=trained.classes, example=EXAMPLE)
            console.print(f"registered as version {found.version} of {found.name}" if found.new else
                          f"already registered as version {found.version} of {found.name}", markup=False)
    console.print("next:", markup=False)
    if folder is not None:
        console.print("  " + cli.line(["gru-bench", "predict", "--model", str(folder), "A text of yours."]),
                      markup=False)
    if register:
        if tracking_uri:
            console.print(f"  with MLFLOW_TRACKING_URI set to {without_passwords(tracking_uri)}:", markup=False)
        console.print("  " + cli.line(["mlflow", "models", "serve", "-m", found.uri, "--env-manager", "local"]),
                      markup=False)


def write_model(
    chosen: Candidate, candidates: Candidates, trained: TrainedModel, folder: Path, *, force: bool = False,
) -> int:
    """Write a model and its card to a folder, and return its number of bytes.

    Raises:
        UsageError: for a folder that exists and may not be replaced.
    """
    from gru_bench.inference.card import model_card, scores_of
    from gru_bench.models import saved

    scores = scores_of(chosen)
    return saved.save(trained, folder, model_card(chosen, candidates, trained, scores), scores, force=force)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
