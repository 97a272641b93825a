"""The columns of the tables of tracking."""

import pyarrow as pa

from maskgrid.dataset.annotations.objects import CATEGORY_COLUMNS, prompt_columns
from maskgrid.dataset.tables import BBOX, COUNTS
from maskgrid.io.tables import column, status_columns

KEY = column("video_key", pa.string(), "the video's path relative to the source's root")
_STATUS = status_columns("ok, or in one word why not")
SETTING = column("setting", pa.string(), "the setting of the sweep; baseline for the config's own values")

# One row per video of the source, including bad ones.
VIDEOS = pa.schema(
    [
        KEY,
        column("video_name", pa.string(), "what files of the video are named by: the key, made fit for a file's name"),
        *_STATUS,
        column("kind", pa.string(), "file, or frames: a folder of images"),
        column("width", pa.int32(), "pixels, as displayed", nullable=True),
        column("height", pa.int32(), "pixels, as displayed", nullable=True),
        column("n_frames", pa.int32(), "frames of the video, up to tracking.stop where that is given", nullable=True),
        column("frame_rate_hz", pa.float64(), "the average, where the file states one", nullable=True),
        column("size_bytes", pa.int64(), "of the file, or of all images together", nullable=True),
        column("sha256", pa.string(), "of the file, or of the images' names and hashes", nullable=True),
    ]
)

# The same rows, plus each video's path and scan (maskgrid.tracked.videos.scan.VideoScan).
FILES = pa.schema(
    [
        *VIDEOS,
        column("path", pa.binary(), "where the video lies on this machine"),
        column("state", pa.string(), "a hash of sizes and times: a video of the same state is not read again"),
        column(
            "rotation_deg", pa.int32(), "counter-clockwise, as the file asks for; plus 360 if mirrored", nullable=True
        ),
        column("pts", pa.list_(pa.int64()), "when each frame is shown, in the stream's unit", nullable=True),
        column("is_key", pa.list_(pa.bool_()), "whether decoding can begin at the frame", nullable=True),
        column("checksums", pa.list_(pa.uint32()), "CRC-32 of each frame as decoded", nullable=True),
        column("complete", pa.bool_(), "whether the video was decoded to its end", nullable=True),
    ]
)

_OBJECT = [
    column("object_id", pa.int32(), "the object in its video: as the source numbers it, else from 1"),
    column("source_id", pa.string(), "the object's id as the source writes it"),
    *CATEGORY_COLUMNS,
]

# One row per prompt of the source, including bad ones.
PROMPTS = pa.schema(
    [
        KEY,
        column("prompt_index", pa.int32(), "position among the video's prompts, in the order of the source, from 0"),
        *_OBJECT,
        column("frame", pa.int32(), "the video's frame, from 0, before range and stride", nullable=True),
        column("round", pa.int32(), "0 before anything is tracked; 1 and on correct what was tracked"),
        *prompt_columns(
            "x and y in pixels of the frame",
            "in pixels, as given and not cut to the frame",
            "COCO's compressed run-length code",
        ),
        *_STATUS,
    ]
)

# One row per job: some objects of a video, or a whole video whose objects are found automatically.
JOBS = pa.schema(
    [
        column("run", pa.string(), "what the results are named by: the video's name, and the setting of a sweep"),
        SETTING,
        KEY,
        column("group", pa.string(), "the group of objects, by number"),
        column("object_ids", pa.list_(pa.int32()), "the objects; empty where they are found automatically"),
        column("digest", pa.string(), "a hash of the video, the prompts and the parameters that change masks"),
    ]
)

# One row per object and frame, sorted by object and frame; one row group per object.
MASKLETS = pa.schema(
    [
        KEY,
        *_OBJECT,
        column("frame", pa.int32(), "the video's frame, from 0, before range and stride"),
        column("is_prompted", pa.bool_(), "whether a prompt shows the object on this frame"),
        column("object_score_logit", pa.float32(), "sam2's: above 0 the network takes the object to be visible"),
        column("area_px", pa.int32(), "pixels of the mask; 0 where the object is not seen"),
        BBOX,
        COUNTS,
    ]
)

# One row per object and setting, including objects that were never seen or not tracked.
OBJECTS = pa.schema(
    [
        SETTING,
        KEY,
        *_OBJECT,
        *_STATUS,
        column("n_prompts", pa.int32(), "prompts of the object that were used"),
        column("n_frames", pa.int32(), "frames on which it was followed"),
        column("n_visible", pa.int32(), "of these, frames on which it has a mask"),
        column("visible_frac", pa.float64(), "the share of the frames that were read on which it has a mask"),
        column("first_frame", pa.int32(), "the first frame with a mask", nullable=True),
        column("last_frame", pa.int32(), "the last frame with a mask", nullable=True),
        column("n_gaps", pa.int32(), "times that it went out of sight and came back"),
        column("longest_gap", pa.int32(), "frames read without a mask between two with one, at most"),
        column("mean_area_px", pa.float64(), "over the frames with a mask", nullable=True),
        column("mean_area_frac", pa.float64(), "the same as a share of the frame", nullable=True),
        column("mean_score_logit", pa.float64(), "of object_score_logit, over the frames with a mask", nullable=True),
    ]
)

# One row per setting and video, including unusable videos.
SUMMARY = pa.schema(
    [
        SETTING,
        KEY,
        *_STATUS,
        column("n_frames_read", pa.int32(), "frames after range and stride", nullable=True),
        column("n_objects", pa.int32(), "objects that were shown or found"),
        column("n_masklets", pa.int32(), "of these, objects with a mask on one frame at least"),
        column("n_never_visible", pa.int32(), "objects without"),
        column("mean_length", pa.float64(), "frames with a mask, over the masklets", nullable=True),
        column("median_length", pa.float64(), "the same, the middle one", nullable=True),
        column("masks_per_frame", pa.float64(), "masks that are not empty, over the frames read", nullable=True),
        column("coverage_frac", pa.float64(), "share of a frame that masks cover, over the frames read", nullable=True),
        column("n_gaps", pa.int32(), "times that an object went out of sight and came back"),
    ]
)

# One row per setting of the sweep, over all its videos.
SETTINGS = pa.schema(
    [
        SETTING,
        column("parameters", pa.string(), "of automatic and generator, as JSON; null with prompts", nullable=True),
        column("n_videos", pa.int32(), "videos that were tracked"),
        column("n_masklets", pa.int32(), "objects with a mask on one frame at least"),
        column("n_never_visible", pa.int32(), "objects without"),
        column("mean_length", pa.float64(), "frames with a mask, over the masklets", nullable=True),
        column("median_length", pa.float64(), "the same, the middle one", nullable=True),
        column("masks_per_frame", pa.float64(), "over all frames that were read", nullable=True),
        column("coverage_frac", pa.float64(), "share of a frame under masks, over all frames read", nullable=True),
        column("n_gaps", pa.int32(), "times that an object went out of sight and came back"),
    ]
)
