"""Time and memory of a layer and of its textbook form."""

import gc
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, List, Tuple

import torch

from .cases import CASES, Case


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure_time(name: str, rounds: int, threads: int) -> Tuple[float, float]:
    """Measure the median seconds of the layer and of its textbook form, which take turns."""
    *forms, inputs = prepare(name, threads)
    seconds: Tuple[List[float], List[float]] = ([], [])
    for i in range(rounds + 1):
        for form, measured in zip(forms, seconds):
            start = time.perf_counter()
            form(*inputs).square().mean().backward()
            if i:  # the first turn warms up
                measured.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def measure_memory(name: str, which: int, threads: int) -> float:
    """Measure the MiB that the layer (0) or its textbook form (1) needs beyond its inputs."""
    *forms, inputs = prepare(name, threads)
    for tensor in inputs:  # gradients of inputs count for neither
        tensor.grad = tensor.detach().clone()
    gc.collect()
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew

    def resident(key: str) -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) / 1024

    before = resident("VmRSS")
    forms[which](*inputs).square().mean().backward()
    return resident("VmHWM") - before


def prepare(name: str, threads: int) -> Case:
    """Build a case, the same each time.

    threads (int): Threads of torch, 0 for its default.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    return CASES[name]()
