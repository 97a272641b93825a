"""Train, publish and measure the demo model: ``python -m training --help``."""

import argparse
import sys
from pathlib import Path

import torch

from maskgrid.io.errors import UserError
from training.commands import calibrate_judgement, evaluate, export, photographs, train_image, train_video
from training.plans import CALIBRATION


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return 2 if the user has to fix something."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        options.run(options)
    except UserError as error:
        print(f"training: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    image = commands.add_parser("image", help="train on still scenes, first at 128 px, then at 256 px")
    image.set_defaults(run=train_image)
    video = commands.add_parser("video", help="train the memory on clips, after the image stage")
    video.set_defaults(run=train_video)
    judge = commands.add_parser("calibrate", help="fit the IoU head once the network is trained")
    usual = CALIBRATION.quantile
    judge.add_argument("--quantile", type=_share, help=f"quantile of the true IoU to predict (default: {usual})")
    judge.set_defaults(run=calibrate_judgement)
    publish = commands.add_parser("export", help="write the last stage's weights for use, as float16")
    publish.add_argument("--output", type=Path, required=True, help="the .pt file; its sha256 is written beside it")
    publish.add_argument("--sharpen", type=float, default=12.0, help="factor to scale the logits by (default: 12)")
    publish.add_argument("--mix", type=Path, help="published weights to average with, usually those of --start-from")
    publish.add_argument("--mix-share", type=_share, default=0.3, help="weight of --mix in the mean (default: 0.3)")
    publish.set_defaults(run=export)
    measure = commands.add_parser("evaluate", help="measure and print the figures on held-out scenes and clips")
    measure.add_argument("--scenes", type=int, default=60, help="held-out scenes (default: 60)")
    measure.add_argument("--first", type=int, default=0, help="seed of the first scene (default: 0)")
    measure.add_argument("--automatic", type=int, default=20, help="scenes to segment automatically (default: 20)")
    measure.add_argument("--clips", type=int, default=10, help="held-out clips of 20 frames (default: 10)")
    measure.set_defaults(run=evaluate)
    sheet = commands.add_parser("photographs", help="draw a contact sheet of photographs and their automatic masks")
    sheet.add_argument("--output", type=Path, required=True, help="the .jpg file")
    sheet.set_defaults(run=photographs)
    for command in (measure, sheet):
        command.add_argument("--weights", type=Path, help="a .pt file (default: the published weights)")
    for stage in (image, video):
        stage.add_argument("--steps", type=int, help="stop each stage after this many steps")
    video.add_argument("--keep-memory", action="store_true", help="keep the memory weights from --start-from")
    image.add_argument("--start-from", type=Path, help="published weights to start the 256 px stage from")
    image.add_argument(
        "--sharpened", type=float, default=12.0, help="--sharpen with which those were exported (default: 12)"
    )
    for stage in (image, video):
        stage.add_argument("--workers", type=int, default=2, choices=(1, 2), help="CPU cores to train on (default: 2)")
    for stage in (image, video, judge):
        stage.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    for command in (image, video, judge, publish):
        command.add_argument("--folder", type=Path, required=True, help="folder of the training's state")
    for command in (image, video, judge, publish, measure, sheet):
        command.add_argument("--threads", type=int, default=1, help="CPU threads per operation (default: 1)")
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return share


if __name__ == "__main__":
    sys.exit(main())
