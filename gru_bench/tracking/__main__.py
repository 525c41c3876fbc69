"""The command `gru-bench sync`, which is also `python -m gru_bench.tracking`: send MLflow what waits in the queue."""

from __future__ import annotations

from pathlib import Path

from gru_bench import cli
from gru_bench.errors import IncompleteError

app = cli.app()


@app.command()
def sync() -> None:
    """Send MLflow what earlier commands in this directory have logged and MLflow does not have yet.

    Writes wait in the directory's queue after an outage of the tracking server, or after a command that was killed.
    Sweeps and training runs send them too when they begin. A command that still runs sends its own writes.
    """
    from gru_bench.tracking.queue import waiting
    from gru_bench.tracking.sync import sync_all

    console = cli.out()
    with console.status("sending what waits"):
        for line in sync_all(Path.cwd()):
            console.print(line, markup=False)
    left = waiting(Path.cwd())
    if left:
        raise IncompleteError("; ".join(f"{found}" for found in left) + ": start its server and run this again, unless "
                              "a command that runs here still sends them")
    console.print("nothing waits in this directory", markup=False)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
