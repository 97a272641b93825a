"""Replay the network's steps as CUDA graphs, so that Python does not have to launch their kernels one by one.

A step is a function of tensors whose shapes do not change. Its first call runs as it is, which makes torch and its
libraries choose their kernels. The second call is captured, and replayed from then on.
"""

import logging
from collections.abc import Callable, Hashable
from typing import Any

import torch
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
        self.is_on, self.same_bits = device.type == "cuda" and torch.cuda.is_available(), same_bits
        self._graphs: dict[Hashable, _Graph | None] = {}
        self._begun: set[Hashable] = set()
        self._pool: Any = None

    def run(self, name: Hashable, step: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
        """Run a step.

        Args:
            name: what the step computes; the same name always means the same function, for inputs of the same shapes.
            step: reads no tensors other than its inputs and those that always stay at the same place.
            inputs: on the device.

        Returns:
            What the step returns. The next call of the same name may write over it.
        """
        if graph := self._graphs.get(name):
            return graph.replay(inputs)
        usual = step(*inputs)
        if self.is_on and name in self._begun and name not in self._graphs and len(self._graphs) < _MOST:
            self._capture(name, step, inputs, usual)
        self._begun.add(name)
        return usual

    def _capture(self, name: Hashable, step: Callable[..., Tensors], inputs: Tensors, usual: Tensors) -> None:
        try:
            graph = _Graph(step, inputs, self._pool)
            is_fit = not self.same_bits or all(map(torch.equal, graph.replay(inputs), usual))
        except RuntimeError as error:
            # Such as a lack of memory; without graphs, the steps need less.
            log.info("CUDA graphs are off: %s", (str(error).splitlines() or [""])[0])
            self.give_up()
            return
        self._pool = graph.pool
        self._graphs[name] = graph if is_fit else None
        if not is_fit:
            log.info("%s runs without a CUDA graph, which gives other bits", name)

    def names(self) -> list[str]:
        """What is replayed."""
        return [str(name) for name, graph in self._graphs.items() if graph is not None]

    def give_up(self) -> None:
        """Run steps as they are from now on, and release the graphs' memory."""
        self.is_on = False
        self._graphs.clear()
        self._begun.clear()
        self._pool = None


class _Graph:
    """One captured step, with the inputs that it reads and the outputs that it writes."""

    def __init__(self, step: Callable[..., Tensors], inputs: Tensors, pool: Any) -> None:  # noqa: ANN401 - torch's handle
        self.inputs = tuple(each.clone() for each in inputs)
        self.graph = torch.cuda.CUDAGraph()
        # Another thread may use the device meanwhile, on a stream of its own.
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.outputs = step(*self.inputs)
        self.pool = self.graph.pool()

    def replay(self, inputs: Tensors) -> Tensors:
        """Run the step with other inputs."""
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.outputs
