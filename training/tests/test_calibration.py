"""The IoU head's fit gets closer to the truth and changes nothing else."""

from dataclasses import replace

import torch

from maskgrid.dataset.demo import EASY
from training.calibration import calibrate, record
from training.model import build_model, initialise
from training.plans import CALIBRATION
from training.pool import drawn_pool

TINY = replace(CALIBRATION, batches=3, n_images=2, n_targets=5, n_boxes=2, steps=101, batch=16)


def test_the_head_is_fitted_and_the_rest_left_alone(tmp_path):
    torch.manual_seed(0)
    model = build_model(64).eval()
    initialise(model)
    pool = drawn_pool(tmp_path / "easy.npz", range(6), 64, EASY, workers=1)
    records = record(model, pool, TINY)
    assert records.tokens.shape == (30, 128)
    assert records.true_iou.shape == (30, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit = calibrate(model, records, TINY)
    assert fit.after < 0.7 * fit.before
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("iou_prediction_head" in name for name in changed)
