"""The parts of the check, the most telling first, and how long each may take.

A part is a function that takes the :class:`gpu.check.Check` and yields results: dicts with plain values. The worker
imports a part's module when its turn comes, so that reading this table does not load torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        seconds: its budget. On an H100 most parts should take a fraction.
        module: its module in this package.
        function: the function in it.
        arguments: passed after the check.
    """

    seconds: float
    module: str
    function: str
    arguments: tuple[str, ...] = ()


PARTS = {
    "facts": Part(40, "facts", "facts"),
    "exact_demo": Part(45, "exactness", "exact", ("demo",)),
    "smoke": Part(60, "smoke", "smoke"),
    "exact_large": Part(60, "exactness", "exact", ("large",)),
    "ratios_large_float32": Part(60, "ratios", "ratios", ("large", "float32")),
    "ratios_tiny_float32": Part(30, "ratios", "ratios", ("tiny", "float32")),
    "ratios_large_bfloat16": Part(60, "ratios", "ratios", ("large", "bfloat16")),
    "ratios_tiny_bfloat16": Part(30, "ratios", "ratios", ("tiny", "bfloat16")),
    "stages_large": Part(45, "stages", "stages", ("large",)),
    "syncs": Part(40, "profiles", "syncs"),
    "profiles": Part(60, "profiles", "profiles"),
    "memory_12mp": Part(60, "memory", "twelve_megapixels"),
    "video_demo": Part(60, "video", "video", ("demo",)),
    "video_batches": Part(90, "video", "batches"),
    "sweep": Part(60, "ratios", "sweep"),
    "exact_bfloat16": Part(60, "exactness", "exact_bfloat16"),
    "batches": Part(45, "memory", "batches"),
    "out_of_memory": Part(45, "memory", "out_of_memory"),
    "trials": Part(45, "trials", "trials"),
    "stages_tiny": Part(25, "stages", "stages", ("tiny",)),
    "compiled": Part(60, "trials", "compiled"),
    "files": Part(60, "files", "files"),
    "jobs": Part(120, "jobs", "jobs"),
    "video_large": Part(70, "video", "video", ("large",)),
    "vos_optimized": Part(200, "video", "vos_optimized"),
}
