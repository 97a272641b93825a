"""Replay the network's steps as CUDA graphs, so that Python does not have to launch their kernels one by one.

A step is a function of tensors whose shapes do not change. Its first call runs as it is, which makes torch and its
libraries choose their kernels. The second call is captured, and replayed from then on.
"""

import logging
import math
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
# Each graph keeps memory of its own for inputs and outputs. More kinds of steps than this run as they are.
_MOST = 8


class Graphs:
    """The captured steps of one device."""

    def __init__(self, device: torch.device, *, same_bits: bool) -> None:
        """Start without any; on a device other than CUDA, steps always run as they are.

        Args:
            device: where the steps run.
            same_bits: whether to use only graphs that give the step's bits.
        """
        self.device, self.same_bits = device, same_bits
        self.is_on = device.type == "cuda" and torch.cuda.is_available()
        self._graphs: dict[tuple[Hashable, Hashable], _Graph | None] = {}
        self._begun: set[Hashable] = set()
        # Shared by all graphs, so that one may use the memory that another one no longer needs.
        self._pool: Any = None

    def run(self, step_name: Hashable, step: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
        """Run a step.

        Args:
            step_name: what the step computes; the same name always means the same function, for inputs of the same
                shapes. Where torch's arithmetic is set otherwise, it is captured anew.
            step: reads no tensors other than its inputs and those that always stay at the same place.
            inputs: on the device.

        Returns:
            What the step returns. The next call of the same name may write over it.
        """
        name = step_name, _arithmetic()
        if graph := self._graphs.get(name):
            return graph.replay(inputs)
        usual = step(*inputs)
        if self.is_on and name in self._begun and name not in self._graphs and len(self._graphs) < _MOST:
            self._capture(name, step, inputs, usual)
        self._begun.add(name)
        return usual

    def _capture(
        self, name: tuple[Hashable, Hashable], step: Callable[..., Tensors], inputs: Tensors, usual: Tensors
    ) -> None:
        try:
            graph = _Graph(step, inputs, self._pool, _capturing(self.device))
            is_fit = self._is_fit(graph, inputs, usual)
        except RuntimeError as error:
            # Such as a lack of memory; without graphs, the steps need less.
            log.info("CUDA graphs are off: %s", (str(error).splitlines() or [""])[0])
            self.give_up()
            return
        self._pool = graph.pool
        self._graphs[name] = graph if is_fit else None
        if not is_fit:
            log.info("%s runs without a CUDA graph, which gives other bits", name[0])

    def _is_fit(self, graph: "_Graph", inputs: Tensors, usual: Tensors) -> bool:
        for output in graph.outputs:
            output.fill_(math.nan)  # what a graph does not write must not look right
        replayed = graph.replay(inputs)
        if self.same_bits:
            return all(map(torch.equal, replayed, usual))
        return all(torch.equal(one.isnan(), other.isnan()) for one, other in zip(replayed, usual, strict=True))

    def names(self) -> list[str]:
        """What is replayed."""
        return [str(name) for (name, _), graph in self._graphs.items() if graph is not None]

    def give_up(self) -> None:
        """Run steps as they are from now on, and release the graphs' memory."""
        self.is_on = False
        self._graphs.clear()
        self._begun.clear()
        self._pool = None


class _Graph:
    """One captured step, with the inputs that it reads and the outputs that it writes."""

    def __init__(
        self,
        step: Callable[..., Tensors],
        inputs: Tensors,
        pool: Any,  # noqa: ANN401 - torch's handle
        stream: torch.cuda.Stream | None,
    ) -> None:
        self.inputs = tuple(each.clone() for each in inputs)
        self.graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(inputs[0].device),
            # Another thread may use the device meanwhile, on a stream of its own.
            torch.cuda.graph(self.graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
        ):
            self.outputs = step(*self.inputs)
        self.pool = self.graph.pool()

    def replay(self, inputs: Tensors) -> Tensors:
        """Run the step with other inputs."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.outputs


@cache
def _capturing(device: torch.device) -> torch.cuda.Stream:
    """A device's stream for captures; torch's own is of the device that was current first.

    cuBLAS keeps working memory for each stream that it has run on. If a capture came first, that memory would lie in
    the graph's pool, which could then never be given back.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        some = torch.ones(16, 16, device=device)
        F.linear(some, some, some[0])
    return stream


def _arithmetic() -> Hashable:
    """The settings of torch that decide which kernels a step runs."""
    backends = torch.backends
    return (
        torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda"),
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )
