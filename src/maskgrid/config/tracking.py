"""The config's section ``tracking``: videos, what shows their objects, and how these are followed."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, field_validator, model_validator

from maskgrid.config.section import Fraction, Section, Sweep, SweepBlock

Export = Literal["youtube_vis", "sa_v", "png", "palette", "overlay"]


class AutomaticConfig(Section):
    """How objects are found where no prompts are given: masks of the generator become prompts."""

    generate_every: Annotated[int, Field(ge=1)] | None = Field(
        10, description="masks are generated on the first frame and on every so many after it; null for the first alone"
    )
    min_coverage_frac: Fraction = Field(
        0.0, description="and on a frame of which the objects' masks cover less than this share; 0 for never"
    )
    min_generate_gap: int = Field(
        5, ge=1, description="frames between two generations at least, where the coverage asks for them"
    )
    join_iou_thresh: Fraction = Field(
        0.5,
        description="a generated mask with at least this IoU with a known object's mask, or with a better generated "
        "one, is the same object",
    )
    join_containment_thresh: Fraction = Field(
        0.8,
        description="a generated mask of which more than this share lies in an object's mask, or in a larger generated "
        "one, is a part of it; with 1 parts become objects too",
    )
    end_after: Annotated[int, Field(ge=1)] | None = Field(
        5,
        description="an object ends after so many frames out of sight, and is another one when it comes back; null for "
        "never",
    )
    max_objects: Annotated[int, Field(ge=1)] | None = Field(
        None, description="objects that are followed at a time at most, those of the highest predicted IoU first"
    )


class TrackingConfig(Section):
    """The parameters of ``SAM2VideoPredictor`` and its methods, by their names, and what goes in and comes out."""

    source: str = Field(
        min_length=1,
        description="a folder of video files and folders of frames, a glob, a list (.txt, .csv, .parquet), one video "
        "file, or demo: drawn clips",
    )
    prompts: Annotated[str, Field(pattern=r"^demo$|\.(json|csv|parquet|jsonl)$")] | None = Field(
        None,
        description="a table with a row a prompt (.csv, .parquet, .jsonl), a YouTube-VIS or COCO-video .json, or demo: "
        "the drawn clips' ground truth; null finds the objects automatically",
    )
    use: Literal["mask", "box"] = Field("mask", description="of a .json: the segmentation, or the box, is the prompt")
    prompt_frames: Literal["first", "all"] = Field(
        "first", description="of a .json: an object's first frame is its prompt, or every frame that it has"
    )
    normalized: bool = Field(False, description="points and boxes are given in 0..1 of the frame, not in pixels")
    start: int = Field(0, ge=0, description="the first frame that is read")
    stop: Annotated[int, Field(ge=1)] | None = Field(
        None, description="the frame before which reading ends; null for the whole video"
    )
    stride: int = Field(1, ge=1, description="every so many frames are read")
    direction: Literal["forward", "backward", "both"] = Field(
        "forward", description="where objects are followed from the first frame with a prompt; both is one after other"
    )
    max_frame_num_to_track: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how far objects are followed in each direction, in frames that are read; null for all"
    )
    objects_per_job: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="the objects of a video are followed in jobs of so many, with the same masks; null for one job a "
        "video, as it is with non_overlap_masks and automatically found objects in any case",
    )
    non_overlap_masks: bool = Field(
        False, description="where masks overlap, a pixel belongs to the object with the highest score alone"
    )
    clear_non_cond_mem_around_input: bool = Field(
        False, description="forget what was found near a frame that has a prompt, so that it does not speak against it"
    )
    add_all_frames_to_correct_as_cond: bool = Field(
        False, description="a frame that is corrected later counts as one that was given"
    )
    fill_hole_area: int = Field(
        0, ge=0, description="holes up to this area are filled, in pixels of the decoder's logits; on every device"
    )
    offload_video_to_cpu: bool = Field(False, description="frames that are read ahead stay in the CPU's memory")
    offload_state_to_cpu: bool = Field(False, description="what is remembered of past frames stays in the CPU's memory")
    vos_optimized: bool = Field(False, description="compile the network, as in sam2.build_sam; CUDA only")
    automatic: AutomaticConfig = Field(
        default_factory=AutomaticConfig, description="without prompts: when objects are looked for, and which are new"
    )
    sweep: Sweep | None = Field(
        None,
        description="without prompts: settings to compare, written as the config's own sweep, of what automatic and "
        "generator hold",
    )
    exports: list[Export] = Field(
        ["youtube_vis", "overlay"],
        description="beside the tables: youtube_vis, sa_v (a JSON a video), png (a picture an object and frame), "
        "palette (a picture a frame, as DAVIS), overlay (a small moving picture and a contact sheet)",
    )

    @field_validator("sweep")
    @classmethod
    def _empty_block_is_no_sweep(cls, sweep: Sweep | None) -> Sweep | None:
        return None if sweep == SweepBlock() else sweep

    @field_serializer("sweep", mode="wrap")
    def _as_older_results_hold_it(self, sweep: Sweep | None, dump: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        """Keep the form of a time without ``zip`` and ``exclude``: where neither is given, nothing is made again."""
        if sweep is not None and not isinstance(sweep, SweepBlock):
            return dump(sweep)
        parts = dump(sweep or SweepBlock())
        return {name: part for name, part in parts.items() if part or name in ("grid", "points")}

    @model_validator(mode="after")
    def _range_holds_frames(self) -> "TrackingConfig":
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"no frame is read from start: {self.start} to stop: {self.stop}")
        return self

    @model_validator(mode="after")
    def _automatic_goes_forward(self) -> "TrackingConfig":
        if self.prompts is None and (self.direction != "forward" or self.max_frame_num_to_track is not None):
            raise ValueError(
                "direction and max_frame_num_to_track need prompts: without, objects are looked for in all frames and "
                "followed forward. Choose the frames by start, stop and stride"
            )
        if self.prompts is not None and self.sweep is not None:
            raise ValueError("sweep compares how objects are found, and prompts are given; one of the two must go")
        return self

    @model_validator(mode="after")
    def _demo_has_its_own_prompts(self) -> "TrackingConfig":
        if self.prompts == "demo" and self.source != "demo":
            raise ValueError("prompts: demo is the ground truth of source: demo, and of no other videos")
        return self
