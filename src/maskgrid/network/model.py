"""Load any checkpoint into sam2's own model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from sam2.build_sam import build_sam2
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam2_base import SAM2Base

from maskgrid.io.errors import UserError
from maskgrid.network.checkpoints import Checkpoint, resolve_checkpoint
from maskgrid.network.device import pick_device
from maskgrid.network.memory import device_errors, is_of_device
from maskgrid.network.weights import load_weights

Model = TypeVar("Model", bound=SAM2Base)

_ANOTHER_DEVICE = "Close other programs on it, or choose another device"

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    checkpoint: str,
    config: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    apply_postprocessing: bool = True,
    allow_unverified: bool = False,
) -> SAM2Base:
    """Load a checkpoint as sam2's own model object, in evaluation mode on its device.

    Args:
        checkpoint: ``demo``, an official name such as ``sam2.1_hiera_large`` (fetched once and verified), or the path
            of a ``.pt`` file.
        config: for a ``.pt`` file, a config name of the sam2 package or a YAML file.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        dtype: ``float32``, ``bfloat16`` or ``float16``. Below float32 the network's parts run under
            ``torch.autocast``, whatever calls them, including sam2's own classes.
        apply_postprocessing: as in ``sam2.build_sam``.
        allow_unverified: accept a ``.pt`` file with an unknown sha256.

    Raises:
        UserError: the checkpoint is unknown, cannot be fetched, or does not match its hash or its config; the config
            cannot be built; or there is no such device.
        MachineError: the device failed, or its memory is too small for the weights.
    """
    resolved = resolve_checkpoint(checkpoint, config, allow_unverified=allow_unverified)
    return build_model(resolved, pick_device(device), dtype, apply_postprocessing)


def build_model(
    checkpoint: Checkpoint, device: torch.device, dtype: str = "float32", apply_postprocessing: bool = True
) -> SAM2Base:
    """Build sam2's model from a resolved checkpoint.

    Raises:
        UserError: the weights do not fit the config, or the config cannot be built.
        MachineError: the device failed, or its memory is too small for the weights.
    """
    model = on_device(built_by(build_sam2, checkpoint, apply_postprocessing=apply_postprocessing), device)
    if dtype != "float32":
        run_in(model, device, DTYPES[dtype])
    return model


def built_by(build: Callable[..., SAM2Base], checkpoint: Checkpoint, **arguments: Any) -> SAM2Base:  # noqa: ANN401
    """Build a checkpoint's model on the CPU with a function of ``sam2.build_sam``.

    Raises:
        UserError: the weights cannot be read or do not fit the config, or the config cannot be built.
        MachineError: a CUDA device failed or is full: sam2's parts touch it if there is one, even when built for the
            CPU.
    """
    try:
        with _config_found(checkpoint.config) as config_name:
            model = build(config_name, None, device="cpu", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, RuntimeError) and is_of_device(error.__cause__):
            with device_errors(_ANOTHER_DEVICE):
                raise error.__cause__ from None
        reason = " ".join(str(error).split())
        raise UserError(f"model.config: {checkpoint.config} cannot be built: {reason}") from None
    # Not by sam2, which reads only files of its own form, and does not say which parameters do not fit.
    load_weights(model, checkpoint)
    return model


def on_device(model: Model, device: torch.device) -> Model:
    """Move a model to a device.

    Raises:
        MachineError: the device failed, or its memory is too small for the weights.
    """
    with device_errors(_ANOTHER_DEVICE):
        model.to(device)
    # sam2 precomputes position encodings, on a CUDA device if there is one. They would be copied from there for every
    # image, and on a CPU differ in the last bits from its own. Compiled parts need them precomputed.
    for part in model.modules():
        if isinstance(part, PositionEmbeddingSine):
            sizes_hw = list(part.cache)
            part.cache.clear()
            for size_hw in sizes_hw:
                part._pe(1, device, *size_hw)
    return model


def run_in(model: SAM2Base, device: torch.device, dtype: torch.dtype) -> None:
    """Run the network's parts under ``torch.autocast``, whatever calls them; values between parts stay float32."""
    autocast = torch.autocast(device.type, dtype=dtype)
    model.forward_image = autocast(model.forward_image)
    model.sam_prompt_encoder.get_dense_pe = autocast(model.sam_prompt_encoder.get_dense_pe)
    for part in (model.sam_prompt_encoder, model.sam_mask_decoder, model.memory_attention, model.memory_encoder):
        part.forward = autocast(part.forward)
    model.autocast_dtype = dtype


def arithmetic_of(model: SAM2Base) -> torch.dtype:
    """The dtype that :func:`run_in` set for a model; float32 if it set none."""
    dtype: torch.dtype = getattr(model, "autocast_dtype", torch.float32)
    return dtype


@contextmanager
def products_in_tf32(*, wanted: bool) -> Iterator[None]:
    """Compute float32 matrix products in TF32 on CUDA devices, as torch computes convolutions there by default.

    TF32 has float32's range and ten bits of mantissa; its products are about eight times as fast.
    """
    if not wanted:
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def _config_found(config: str) -> Iterator[str]:
    """The name under which Hydra finds a config: one of sam2's own, or a YAML file in any folder."""
    path = Path(config)
    if not path.is_file():
        yield config
        return
    # sam2 initialises Hydra for its own configs at import; set that state aside for the block.
    of_sam2 = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(path.resolve().parent), version_base="1.2"):
            yield path.name
    finally:
        GlobalHydra.instance().clear()
        if of_sam2 is not None:
            GlobalHydra.instance().initialize(of_sam2)
