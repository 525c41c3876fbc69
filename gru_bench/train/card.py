"""The graphics card of a run: which cards there are, how torch uses one, and what is recorded of it.

torch is imported inside the functions: a sweep counts cards before any of its processes has loaded torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NO_MEMORY = "memory ran out: lower training.batch_size or model.hidden_size, or raise training.micro_batches"
_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that chooses cards."""


def visible() -> list[str]:
    """Return the cards that torch can use, as the values that `pinned` takes. torch is loaded only where there is a
    driver."""
    if not (shutil.which("nvidia-smi") or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd")))):
        return []
    import torch

    count = torch.cuda.device_count()  # of AMD's cards too, which torch calls cuda
    chosen = os.environ.get(_VARIABLE)
    names = [str(number) for number in range(count)] if chosen is None else chosen.replace(" ", "").split(",")
    return names[:count]


def pinned(name: str) -> dict[str, str]:
    """Return the environment in which a process sees this card only, as cuda:0. An empty name: no card."""
    return {_VARIABLE: name}


def prepare(device: torch.device) -> None:
    """Prepare this process to train on a card: precision, determinism, and the count of peak memory.

    Products are computed in float32. By default torch lets cuDNN round the factors of recurrent layers to TF32, which
    keeps 10 bits of them, but not those of its other products. So two backends on one card, or a card and a CPU, would
    differ by more than the rounding of float32, without anybody having asked for it.
    """
    import torch

    # Read when cuBLAS starts. Without it, cuDNN may add up the gradients of biases in another order in each run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    products: tuple[Any, ...] = (torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    for product in products:
        product.fp32_precision = "ieee"
    # torch copies the weights of each call into one chunk for cuDNN.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
    torch.cuda.init()  # before it, the count of a card with a number cannot be reset
    if device.index is not None:
        torch.cuda.set_device(device)  # otherwise pinned memory would open the first card too
    torch.cuda.reset_peak_memory_stats(device)


def properties(device: torch.device) -> dict[str, str]:
    """Return what a run records of its card. The keys begin with `card`."""
    import torch

    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    return {
        "card": torch.cuda.get_device_name(device),
        "card_driver": _driver(),
        "card_cuda": torch.version.cuda or "unknown",
        "card_cudnn": str(cudnn.version()),
        "card_float32": f"cuDNN {cudnn.rnn.fp32_precision}, cuBLAS {matmul.fp32_precision}",
    }


def _driver() -> str:
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                              capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
