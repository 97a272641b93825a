"""The config's section ``tracking``: videos, what shows their objects, and how these are followed."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from maskgrid.sections import Section

Export = Literal["youtube_vis", "sa_v", "png", "palette", "overlay"]


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
    exports: list[Export] = Field(
        ["youtube_vis", "overlay"],
        description="beside the tables: youtube_vis, sa_v (a JSON a video), png (a picture an object and frame), "
        "palette (a picture a frame, as DAVIS), overlay (a small moving picture and a contact sheet)",
    )

    @model_validator(mode="after")
    def _range_holds_frames(self) -> "TrackingConfig":
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"no frame is read from start: {self.start} to stop: {self.stop}")
        return self

    @model_validator(mode="after")
    def _demo_has_its_own_prompts(self) -> "TrackingConfig":
        if self.prompts == "demo" and self.source != "demo":
            raise ValueError("prompts: demo is the ground truth of source: demo, and of no other videos")
        return self
