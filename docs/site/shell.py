"""What the pages of the site run first: `%%sh` runs a command in a new folder, and fails where the command fails."""

from __future__ import annotations

import os
import subprocess
import tempfile

from IPython.core.magic import register_cell_magic

os.chdir(tempfile.mkdtemp())
for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):  # the kernel sets them; without, output is that of a file
    os.environ.pop(name, None)
os.environ["TERM"] = "dumb"


@register_cell_magic
def sh(_: str, cell: str) -> None:
    """Run the lines of a cell and print all their output at once."""
    done = subprocess.run(["sh", "-e", "-c", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    print(done.stdout, end="")
    if done.returncode:
        raise RuntimeError(f"a command of a page must end with 0, but this one ended with {done.returncode}: see above")
