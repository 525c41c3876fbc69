"""Run a study: `python sweeps/run.py --study bidirectional`. The command itself is gru_bench/sweep/__main__.py."""

from gru_bench.sweep.__main__ import main

if __name__ == "__main__":
    main()
