"""The paths in a results folder, which users and other tools rely on."""

from dataclasses import dataclass
from pathlib import Path

from maskgrid.plan.passes import PassRun

# Suffixes of a run's exports; those without one are folders.
_ENDS = {
    "sa_v": ".json",
    "png": "",
    "palette": "",
    "mots": ".txt",
    "overlay": ".webp",
    "overlay_mp4": ".mp4",
    "player": "",
}
_EXPORT_ENDS = {"sa1b": ".tar", "polygons": ".json"}
TRACKED_FORMS = tuple(_ENDS)
# Exports of tracking that are one file over all videos.
TRACKED_DOCUMENTS = ("youtube_vis", "coco")
GROUND_TRUTH = "ground_truth.json"


@dataclass(frozen=True, slots=True)
class TrackedLayout:
    """Paths under ``tracked``. A run is a video, or a video with one setting of the sweep."""

    root: Path

    @property
    def videos(self) -> Path:
        """One row per video."""
        return self.root / "videos.parquet"

    @property
    def files(self) -> Path:
        """Where each video is on this machine, and what decoding it showed."""
        return self.root / "files.parquet"

    @property
    def prompts(self) -> Path:
        """The prompts, each checked against its video."""
        return self.root / "prompts.parquet"

    @property
    def jobs(self) -> Path:
        """One row per job."""
        return self.root / "jobs.parquet"

    def part(self, run: str, group: str) -> Path:
        """The masklets of a group of objects."""
        return self.root / "parts" / run / f"{group}.parquet"

    def masklets(self, run: str) -> Path:
        """The masklets of a run."""
        return self.root / "masklets" / f"{run}.parquet"

    def export(self, form: str, run: str) -> Path:
        """An export of a run: ``sa_v``, ``png``, ``palette``, ``mots``, ``overlay``, ``overlay_mp4`` or ``player``."""
        return self.root / form / f"{run}{_ENDS[form]}"

    def sheet(self, run: str) -> Path:
        """A contact sheet of a run."""
        return self.root / "overlay" / f"{run}.jpg"

    def document(self, form: str) -> Path:
        """The masklets of all videos, as ``youtube_vis`` or ``coco``."""
        return self.root / f"{form}.json"

    @property
    def objects(self) -> Path:
        """One row per object and run."""
        return self.root / "objects.parquet"

    @property
    def summary(self) -> Path:
        """One row per setting and video."""
        return self.root / "summary.parquet"

    @property
    def settings(self) -> Path:
        """One row per setting of the sweep."""
        return self.root / "settings.parquet"

    def ground_truth(self, table: str) -> Path:
        """The true objects that masklets are measured against: ``videos`` or ``masks``."""
        return self.root / "ground_truth" / f"{table}.parquet"

    def run_accuracy(self, run: str) -> Path:
        """How well a run's masklets fit the true objects: one row per object."""
        return self.root / "ground_truth" / "runs" / f"{run}.parquet"

    @property
    def accuracy(self) -> Path:
        """One row per true object and setting."""
        return self.root / "accuracy.parquet"

    @property
    def accuracy_videos(self) -> Path:
        """The same per video and setting."""
        return self.root / "accuracy_videos.parquet"

    @property
    def accuracy_settings(self) -> Path:
        """The same per setting."""
        return self.root / "accuracy_settings.parquet"

    @property
    def page(self) -> Path:
        """The HTML page."""
        return self.root / "index.html"

    @property
    def player(self) -> Path:
        """The page that plays the videos."""
        return self.root / "player.html"

    @property
    def provenance(self) -> Path:
        """How the results came about."""
        return self.root / "provenance.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under a results folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The config of the last run, overrides included, as its jobs read it."""
        return self.root / "config.json"

    @property
    def images(self) -> Path:
        """One row per input."""
        return self.root / "dataset" / "images.parquet"

    @property
    def files(self) -> Path:
        """Where each input is on this machine, with its size and time when it was indexed."""
        return self.root / "dataset" / "files.parquet"

    @property
    def archives(self) -> Path:
        """One row per tar archive of the source."""
        return self.root / "dataset" / "archives.parquet"

    @property
    def shards(self) -> Path:
        """One row per shard."""
        return self.root / "dataset" / "shards.parquet"

    @property
    def fetched(self) -> Path:
        """The folder of files that the config names by URL: ``{host}/{path}``."""
        return self.root / "fetched"

    def tile_job(self, run: PassRun, shard: str, job: int) -> Path:
        """What says that a job, from 1, has done its share of the tiles of a shard."""
        return self.root / "candidates" / run.folder / f"{shard}.tiles{job}"

    def candidates(self, run: PassRun, shard: str) -> Path:
        """The candidates of a pass over a shard."""
        return self.root / "candidates" / run.folder / f"{shard}.parquet"

    def pass_images(self, run: PassRun, shard: str) -> Path:
        """One row per image of the shard: how the pass went."""
        return self.root / "candidates" / run.folder / f"{shard}.images.parquet"

    def selections(self, shard: str) -> Path:
        """The masks that every setting keeps in a shard's images."""
        return self.root / "selections" / f"{shard}.parquet"

    @property
    def gathered(self) -> Path:
        """The common origin of all shards' selections; exists only if they belong together."""
        return self.root / "selections.json"

    def shard_counts(self, shard: str) -> Path:
        """Mask counts of a shard, by setting and image."""
        return self.root / "selections" / f"{shard}.counts.parquet"

    def annotations(self, label: str) -> Path:
        """A setting's COCO file."""
        return self.root / "annotations" / f"{label}.json"

    def export(self, form: str, label: str) -> Path:
        """A setting's masks in another form: a file for ``sa1b`` and ``polygons``, else a folder."""
        return self.root / "exports" / form / f"{label}{_EXPORT_ENDS.get(form, '')}"

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.root / "README.md"

    @property
    def croissant(self) -> Path:
        """The dataset's metadata for machines."""
        return self.root / "croissant.json"

    @property
    def explorer(self) -> Path:
        """The explorer's page."""
        return self.root / "report" / "explorer.html"

    @property
    def explorer_images(self) -> Path:
        """The explorer's list of all images."""
        return self.root / "report" / "explorer" / "images.js"

    def explorer_data(self, shard: str) -> Path:
        """The folder of a shard's images for the explorer."""
        return self.root / "report" / "explorer" / shard

    @property
    def accepted(self) -> Path:
        """The verdict on the run; exists only if few enough images failed."""
        return self.root / "accepted.json"

    @property
    def provenance(self) -> Path:
        """How the results came about."""
        return self.root / "provenance.json"

    @property
    def report_provenance(self) -> Path:
        """When the results were made, as the report reads it."""
        return self.root / "report" / "provenance.js"

    @property
    def outputs(self) -> Path:
        """What the workflow wrote for the last config, with sizes and times."""
        return self.root / "outputs.json"

    def statistics(self, table: str) -> Path:
        """A table of statistics, such as ``settings``, ``mask_counts``, ``summary`` or ``effects``."""
        return self.root / "statistics" / f"{table}.parquet"

    def ground_truth(self, table: str) -> Path:
        """The checked annotations: table ``images`` or ``objects``."""
        return self.root / "ground_truth" / f"{table}.parquet"

    def shard_accuracy(self, shard: str) -> Path:
        """How well every setting finds the annotated objects of a shard's images."""
        return self.root / "ground_truth" / "shards" / f"{shard}.parquet"

    def tuning(self, table: str) -> Path:
        """What ``tune`` found: table ``settings``, all that it tried, or ``outcome``."""
        return self.root / "tuning" / f"{table}.parquet"

    @property
    def prompts(self) -> Path:
        """The prompts, each checked against its image."""
        return self.root / "prompted" / "prompts.parquet"

    def prompted(self, shard: str) -> Path:
        """The masks of the prompts of a shard's images."""
        return self.root / "prompted" / f"{shard}.parquet"

    @property
    def prompted_annotations(self) -> Path:
        """The masks of all prompts, as COCO."""
        return self.root / "prompted" / "annotations.json"

    def prompted_export(self, form: str) -> Path:
        """The masks of all prompts in another form: a file for ``polygons``, else a folder."""
        return self.root / "prompted" / "exports" / f"{form}{_EXPORT_ENDS.get(form, '')}"

    @property
    def prompted_statistics(self) -> Path:
        """How well the masks agree with their prompts."""
        return self.root / "prompted" / "statistics.parquet"

    @property
    def prompted_settings(self) -> Path:
        """Means over all prompts, by setting."""
        return self.root / "prompted" / "settings.parquet"

    @property
    def prompted_worst(self) -> Path:
        """A picture of the masks that agree least with their prompts."""
        return self.root / "prompted" / "worst.jpg"

    @property
    def tracked(self) -> TrackedLayout:
        """The paths of the tracking job."""
        return TrackedLayout(self.root / "tracked")
