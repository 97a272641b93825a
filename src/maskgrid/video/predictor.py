"""sam2's video predictor, with holes filled on every device and a precision of its own."""

from sam2.sam2_video_predictor import SAM2VideoPredictor


class VideoPredictor(SAM2VideoPredictor):  # type: ignore[misc]
    """sam2's video predictor."""
