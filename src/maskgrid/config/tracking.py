"""The config's section ``tracking``: videos, prompts for their objects, and how to follow them."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from maskgrid.config.section import Fraction, Items, Section, Sweep, SweepBlock

Export = Literal["youtube_vis", "coco", "sa_v", "png", "palette", "mots", "overlay", "overlay_mp4", "player"]


class AutomaticConfig(Section):
    """How to find objects without prompts: the generator's masks become prompts."""

    generate_every: Annotated[int, Field(ge=1)] | None = Field(
        10, description="generate masks on the first frame and every this many frames after it; null: first frame only"
    )
    min_coverage_frac: Fraction = Field(
        0.0, description="also generate on a frame if the objects' masks cover less than this share of it; 0 for never"
    )
    min_generate_gap: int = Field(
        5, ge=1, description="minimum number of frames between generations triggered by min_coverage_frac"
    )
    join_iou_thresh: Fraction = Field(
        0.5,
        description="a generated mask with at least this IoU with a known object's mask, or with a better generated "
        "one, is the same object",
    )
    join_containment_thresh: Fraction = Field(
        0.8,
        description="a generated mask is a part, not an object, if more than this share of it lies in an object's mask "
        "or in a larger generated mask; with 1, parts become objects too",
    )
    end_after: Annotated[int, Field(ge=1)] | None = Field(
        5,
        description="an object ends after this many frames out of sight, and is a new object if it comes back; null "
        "for never",
    )
    max_objects: Annotated[int, Field(ge=1)] | None = Field(
        None, description="follow at most this many objects at a time, highest predicted IoU first; null for no limit"
    )
    follow_back: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="follow a found object back for up to this many frames, to where it came into view, and generate "
        "masks on the last frame too; null for never",
    )
    rejoin_within: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="an object that is found again within this many frames after it was last seen keeps its number, if "
        "its memory and its place agree; null for never",
    )
    rejoin_iou_thresh: Fraction = Field(
        0.5, description="memory: minimum IoU of the found mask with the one that the lost object's memory draws"
    )
    rejoin_distance_frac: Fraction = Field(
        0.25,
        description="place: the found mask is at most this far from where the object was last seen, as a share of the "
        "frame's diagonal",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is off, so that files and fingerprints stay as before it existed."""
        values: dict[str, Any] = dump(self)
        off = ["follow_back"] if self.follow_back is None else []
        off += ["rejoin_within", "rejoin_iou_thresh", "rejoin_distance_frac"] if self.rejoin_within is None else []
        return {name: value for name, value in values.items() if name not in off}


class TrackingConfig(Section):
    """The parameters of ``SAM2VideoPredictor`` and its methods, with their names, plus inputs and exports."""

    source: str = Field(
        min_length=1,
        description="a folder of video files and folders of frames, a glob, a list (.txt, .csv, .parquet), one video "
        "file, or demo: drawn clips",
    )
    prompts: Annotated[str, Field(pattern=r"^demo$|\.(json|csv|parquet|jsonl)$")] | None = Field(
        None,
        description="a table with one row per prompt (.csv, .parquet, .jsonl), a YouTube-VIS or COCO-video .json, or "
        "demo: the drawn clips' ground truth; null finds objects automatically",
    )
    ground_truth: str | None = Field(
        None,
        min_length=1,
        description="true objects to measure masklets against: a folder of DAVIS's palette pictures or of SA-V's "
        "pictures or JSON files, a YouTube-VIS, COCO-video or SA-V .json, or demo: that of the drawn clips; null for "
        "none",
    )
    match_truth_by: Literal["ids", "masks"] | None = Field(
        None,
        description="which masklet is a true object's: the one of the same id, or the one that fits best; null: ids "
        "with prompts, masks without",
    )
    skip_first_and_last: bool | None = Field(
        None,
        description="do not measure an object on its first and last annotated frame, as DAVIS and SA-V do where "
        "objects are prompted; null: so with prompts, all frames without",
    )
    use: Literal["mask", "box"] = Field("mask", description="for a .json: prompt with the segmentation or the box")
    prompt_frames: Literal["first", "all"] = Field(
        "first", description="for a .json: prompt an object on its first annotated frame, or on all of them"
    )
    normalized: bool = Field(False, description="points and boxes are in 0..1 of the frame, not in pixels")
    start: int = Field(0, ge=0, description="the first frame to read")
    stop: Annotated[int, Field(ge=1)] | None = Field(
        None, description="read up to this frame, exclusive; null for the whole video"
    )
    stride: int = Field(1, ge=1, description="read every stride-th frame")
    direction: Literal["forward", "backward", "both"] = Field(
        "forward", description="direction from the first frame with a prompt; both: forward, then backward"
    )
    max_frame_num_to_track: Annotated[int, Field(ge=1)] | None = Field(
        None, description="follow objects for this many of the frames read, in each direction; null for all"
    )
    objects_per_job: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="split a video's objects into jobs of this many, with the same masks; null: one job per video. "
        "Always one job with non_overlap_masks or without prompts",
    )
    objects_per_batch: int = Field(
        1,
        ge=1,
        description="track up to this many objects together: faster, with the same masks within rounding; 1 as in sam2",
    )
    memory: Literal["sam2", "samurai"] = Field(
        "sam2",
        description="which past frames and which of the decoder's masks to trust: sam2: the last frames, the mask with "
        "the highest predicted IoU; samurai: the last good frames, the mask that also fits the object's motion",
    )
    memory_motion_weight: Fraction = Field(
        0.25, description="samurai: the motion's share of a mask's weight; the predicted IoU has the rest"
    )
    memory_stable_frames: int = Field(
        15, ge=1, description="samurai: on how many frames in a row an object is seen before its motion counts"
    )
    non_overlap_masks: bool = Field(
        False, description="where masks overlap, a pixel belongs only to the object with the highest score"
    )
    clear_non_cond_mem_around_input: bool = Field(
        False, description="forget masks found near a frame with a prompt, so that they do not contradict the prompt"
    )
    add_all_frames_to_correct_as_cond: bool = Field(
        False, description="treat a frame corrected later like a frame with a first prompt (a conditioning frame)"
    )
    fill_hole_area: int = Field(
        0, ge=0, description="fill holes up to this area, in pixels of the decoder's logits; on every device"
    )
    offload_video_to_cpu: bool = Field(False, description="keep frames read ahead in CPU memory")
    offload_state_to_cpu: bool = Field(False, description="keep the memory of past frames in CPU memory")
    vos_optimized: bool = Field(False, description="compile the network, as in sam2.build_sam; CUDA only")
    automatic: AutomaticConfig = Field(
        default_factory=AutomaticConfig, description="without prompts: when to look for objects, and which are new"
    )
    sweep: Sweep | None = Field(
        None,
        description="without prompts: settings to compare, written like the top-level sweep; keys: those of automatic "
        "and generator",
    )
    exports: Items[Export] = Field(
        ("youtube_vis", "overlay"),
        description="besides the tables: youtube_vis, coco (an image per frame, with track_id), sa_v (one JSON per "
        "video), png (one image per object and frame), palette (one image per frame, as in DAVIS), mots (one text "
        "file per video), overlay (a small animation and a contact sheet), overlay_mp4 (all frames at their "
        "full size as a film), player (a page that plays the videos with their masks, and its data)",
    )

    @field_validator("sweep")
    @classmethod
    def _empty_block_is_no_sweep(cls, sweep: Sweep | None) -> Sweep | None:
        return None if sweep == SweepBlock() else sweep

    @field_serializer("sweep", mode="wrap")
    def _without_empty_zip_and_exclude(self, sweep: Sweep | None, dump: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        """Write sweeps without ``zip`` and ``exclude`` as before these existed, so that older results stay current."""
        if sweep is not None and not isinstance(sweep, SweepBlock):
            return dump(sweep)
        parts = dump(sweep or SweepBlock())
        return {name: part for name, part in parts.items() if part or name in ("grid", "points")}

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later keys that are off, so that files and fingerprints stay as before these existed."""
        values: dict[str, Any] = dump(self)
        if self.objects_per_batch == 1:
            values.pop("objects_per_batch", None)
        if self.memory == "sam2":
            for name in ("memory", "memory_motion_weight", "memory_stable_frames"):
                values.pop(name, None)
        for name in ("ground_truth", "match_truth_by", "skip_first_and_last"):
            if values.get(name) is None:
                values.pop(name, None)
        return values

    @model_validator(mode="after")
    def _range_holds_frames(self) -> "TrackingConfig":
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"start: {self.start} to stop: {self.stop} selects no frames; stop must be above start")
        return self

    @model_validator(mode="after")
    def _compiled_for_one_object(self) -> "TrackingConfig":
        if self.vos_optimized and self.objects_per_batch > 1:
            raise ValueError(
                "objects_per_batch: the network that vos_optimized compiles takes one object at a time; remove one of "
                "the two"
            )
        return self

    @model_validator(mode="after")
    def _automatic_goes_forward(self) -> "TrackingConfig":
        if self.prompts is None and (self.direction != "forward" or self.max_frame_num_to_track is not None):
            raise ValueError(
                "direction and max_frame_num_to_track need prompts: without them, objects are found in the whole video "
                "and tracked forward; choose the frames with start, stop and stride"
            )
        if self.prompts is not None and self.sweep is not None:
            raise ValueError("sweep compares how objects are found without prompts; remove either sweep or prompts")
        return self

    @model_validator(mode="after")
    def _demo_has_its_own_prompts(self) -> "TrackingConfig":
        for name, value in (("prompts", self.prompts), ("ground_truth", self.ground_truth)):
            if value == "demo" and self.source != "demo":
                raise ValueError(f"{name}: demo works only with source: demo, whose ground truth it is")
        return self

    @model_validator(mode="after")
    def _ids_are_those_of_prompts(self) -> "TrackingConfig":
        if self.match_truth_by == "ids" and self.prompts is None:
            raise ValueError(
                "match_truth_by: ids needs prompts: objects found without them have numbers of their own, and no true "
                "object's; take masks"
            )
        return self
