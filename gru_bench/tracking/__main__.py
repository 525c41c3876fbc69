"""`python -m gru_bench.tracking`: feed MLflow what an outage, or a command that was killed, has left in the queue."""

from __future__ import annotations

from pathlib import Path

from gru_bench import cli
from gru_bench.errors import RunError

app = cli.app()


@app.command()
def sync() -> None:
    """Feed MLflow what earlier commands in this directory have logged and it does not have yet.

    Sweeps and training runs do so as well, when they begin. What a command that still runs has logged is its own
    business.
    """
    from gru_bench.tracking.queue import waiting
    from gru_bench.tracking.sync import sync_all

    console = cli.out()
    with console.status("sync what waits"):
        for line in sync_all(Path.cwd()):
            console.print(line, markup=False)
    left = waiting(Path.cwd())
    if left:
        raise RunError("; ".join(f"{found}" for found in left) + ": start its server and run this again, unless a "
                       "command that runs here still feeds it")
    console.print("nothing waits in this directory", markup=False)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
