"""The process that works: runs parts one after the other, and notes their results and failures."""

import argparse
import gc
import importlib
import time
import traceback
from collections.abc import Iterator

import torch

from gpu import pyav
from gpu.check import Check
from gpu.measure import failure
from gpu.parts import PARTS, Part
from gpu.results import note
from gpu.watch import DEAD


class Worker:
    """Runs the parts that the command line names."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.began = arguments, time.perf_counter()
        self.check = Check(
            device=_device(arguments.device),
            out=arguments.out,
            photo=arguments.photo,
            repeat=arguments.repeat,
            stand_in=arguments.stand_in_architecture if arguments.stand_in else None,
            trials=arguments.trials,
        )

    def run(self) -> int:
        """Run all parts; return ``DEAD`` if the device no longer answers."""
        if self.check.is_cuda and not torch.cuda.is_available():
            self._note(
                "start", {"error": "there is no CUDA device here; --device cpu --stand-in tries the parts without"}
            )
            return 0
        if self.check.is_cuda:
            torch.cuda.set_device(self.check.device)
        pyav.replace_if_missing()
        for name in self.arguments.parts:
            self.arguments.worker.write_text(name)
            started = time.perf_counter()
            print(f"\n=== {name} at {started - self.began:.1f} s", flush=True)
            try:
                for result in _results(PARTS[name], self.check):
                    self._note(name, result)
                self._note(name, {"done": True, "took_s": time.perf_counter() - started})
            except Exception as error:
                traceback.print_exc()
                self._note(name, {**failure(error), "took_s": time.perf_counter() - started})
            if not self._device_answers():
                return DEAD
        return 0

    def _note(self, part: str, result: dict[str, object]) -> None:
        note(self.arguments.out, part=part, at_s=round(time.perf_counter() - self.began, 1), **result)

    def _device_answers(self) -> bool:
        """Release what the last part held; return whether the device still works."""
        gc.collect()
        if not self.check.is_cuda:
            return True
        try:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except Exception:
            traceback.print_exc()
            return False
        return True


def _device(name: str) -> torch.device:
    """A device, of CUDA's with its number, which some of torch's functions ask for."""
    device = torch.device(name)
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _results(part: Part, check: Check) -> Iterator[dict[str, object]]:
    function = getattr(importlib.import_module(f"gpu.{part.module}"), part.function)
    yield from function(check, *part.arguments)
