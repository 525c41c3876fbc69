"""The command `gru-bench sync`, which is also `python -m gru_bench.tracking`: send the waiting writes to MLflow."""

from __future__ import annotations

from pathlib import Path

from gru_bench import cli
from gru_bench.errors import IncompleteError

app = cli.app()


@app.command()
@cli.continued()
def sync() -> None:
    """Send to MLflow what earlier commands in this directory have logged and what is missing there.

    Writes wait in the directory's queue after an outage of the tracking server, or after a command was killed. Every
    sweep and every training run also sends them when it starts. A command that is still running sends its own writes.
    """
    from gru_bench.tracking.queue import waiting
    from gru_bench.tracking.sync import sync_all

    console = cli.out()
    with console.status("sending the waiting writes"):
        for line in sync_all(Path.cwd()):
            console.print(line, markup=False)
    left = waiting(Path.cwd())
    if left:
        files = all(found.uri.startswith("sqlite:") for found in left)
        remedy = "free some space on their disk, or make the file writable," if files else "start the server"
        raise IncompleteError("; ".join(map(str, left)) + f": {remedy} and run this again; if a command is still "
                              "running here, it sends its own writes")
    console.print("no writes wait in this directory", markup=False)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
