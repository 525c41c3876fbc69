"""The command `gru-bench sync`, which is also `python -m gru_bench.tracking`: upload the waiting runs to MLflow."""

from __future__ import annotations

from pathlib import Path

from gru_bench import cli
from gru_bench.errors import IncompleteError

app = cli.app()


@app.command()
@cli.continued()
def sync() -> None:
    """Upload to MLflow what earlier commands in this directory have logged and what is missing there.

    Runs wait in the directory's outbox after an outage of the tracking server, or after a command was killed. Every
    sweep and every training run also uploads them when it starts. A command that is still running uploads its own runs.
    Records that MLflow has refused are tried again.
    """
    from gru_bench.tracking.outbox import bring_back, refused, waiting
    from gru_bench.tracking.upload import upload_all

    console = cli.out()
    with console.status("uploading waiting runs"):
        bring_back(Path.cwd())
        for line in upload_all(Path.cwd()):
            console.print(line, markup=False)
    left = waiting(Path.cwd())
    if left:
        if all(found.held == found.runs for found in left):
            raise IncompleteError("; ".join(map(str, left)) + ": start their sweep again, which checks whether their "
                                  "trials have ended")
        files = all(found.uri.startswith("sqlite:") for found in left)
        remedy = "free some space on the disk, or make the file writable," if files else "start the server"
        raise IncompleteError("; ".join(map(str, left)) + f": {remedy} and run this again; a command that is still "
                              "running here uploads its own runs")
    if again := refused(Path.cwd()):
        raise IncompleteError("; ".join(map(str, again)))
    console.print("no waiting runs in this directory", markup=False)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
