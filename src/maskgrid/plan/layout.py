"""Where everything lies in a results folder: the names that users and other tools rely on."""

from dataclasses import dataclass
from pathlib import Path

from maskgrid.plan.passes import PassRun

# How the exports of a run end; those without a suffix are folders.
_ENDS = {"sa_v": ".json", "png": "", "palette": "", "overlay": ".webp"}
GROUND_TRUTH = "ground_truth.json"


@dataclass(frozen=True, slots=True)
class TrackedLayout:
    """Paths under ``tracked``. A run is a video, or a video under a setting of the sweep."""

    root: Path

    @property
    def videos(self) -> Path:
        """A row for every video."""
        return self.root / "videos.parquet"

    @property
    def files(self) -> Path:
        """Where each video lies on this machine, and what decoding it has shown."""
        return self.root / "files.parquet"

    @property
    def prompts(self) -> Path:
        """The given prompts, each checked."""
        return self.root / "prompts.parquet"

    @property
    def jobs(self) -> Path:
        """A row for every job."""
        return self.root / "jobs.parquet"

    def part(self, run: str, group: str) -> Path:
        """The masklets of a group of objects."""
        return self.root / "parts" / run / f"{group}.parquet"

    def masklets(self, run: str) -> Path:
        """The masklets of a run."""
        return self.root / "masklets" / f"{run}.parquet"

    def export(self, form: str, run: str) -> Path:
        """An export of a run: ``sa_v``, ``png``, ``palette`` or ``overlay``."""
        return self.root / form / f"{run}{_ENDS[form]}"

    def sheet(self, run: str) -> Path:
        """A contact sheet of a run."""
        return self.root / "overlay" / f"{run}.jpg"

    @property
    def youtube_vis(self) -> Path:
        """The masklets of all videos, as YouTube-VIS."""
        return self.root / "youtube_vis.json"

    @property
    def objects(self) -> Path:
        """A row for every object of every run."""
        return self.root / "objects.parquet"

    @property
    def summary(self) -> Path:
        """A row for every setting and video."""
        return self.root / "summary.parquet"

    @property
    def settings(self) -> Path:
        """A row for every setting of the sweep."""
        return self.root / "settings.parquet"

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.root / "index.html"

    @property
    def provenance(self) -> Path:
        """How the results came about."""
        return self.root / "provenance.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under a results folder."""

    root: Path

    @property
    def images(self) -> Path:
        """A row for every input."""
        return self.root / "dataset" / "images.parquet"

    @property
    def files(self) -> Path:
        """Where each input lies on this machine, and what was known of it."""
        return self.root / "dataset" / "files.parquet"

    @property
    def archives(self) -> Path:
        """A row for every tar archive of the source."""
        return self.root / "dataset" / "archives.parquet"

    @property
    def shards(self) -> Path:
        """A row for every shard."""
        return self.root / "dataset" / "shards.parquet"

    @property
    def fetched(self) -> Path:
        """Files that the config names by URL: ``{host}/{path}``."""
        return self.root / "fetched"

    def candidates(self, run: PassRun, shard: str) -> Path:
        """The candidates of a pass over a shard."""
        return self.root / "candidates" / run.folder / f"{shard}.parquet"

    def pass_images(self, run: PassRun, shard: str) -> Path:
        """A row for each image of the shard: what the pass made of it."""
        return self.root / "candidates" / run.folder / f"{shard}.images.parquet"

    def selections(self, shard: str) -> Path:
        """What every setting keeps of a shard's images."""
        return self.root / "selections" / f"{shard}.parquet"

    @property
    def gathered(self) -> Path:
        """What the selections of all shards are made from: there, where they belong together."""
        return self.root / "selections.json"

    def shard_counts(self, shard: str) -> Path:
        """Mask counts of a shard, by setting and image."""
        return self.root / "selections" / f"{shard}.counts.parquet"

    def annotations(self, label: str) -> Path:
        """A setting's COCO file."""
        return self.root / "annotations" / f"{label}.json"

    def export(self, form: str, label: str) -> Path:
        """A setting's masks in another form: sa1b or polygons."""
        return self.root / "exports" / form / f"{label}{'.tar' if form == 'sa1b' else '.json'}"

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.root / "README.md"

    @property
    def croissant(self) -> Path:
        """The dataset's metadata for machines."""
        return self.root / "croissant.json"

    @property
    def accepted(self) -> Path:
        """The verdict on the run: there, where few enough images failed."""
        return self.root / "accepted.json"

    @property
    def provenance(self) -> Path:
        """How the results came about."""
        return self.root / "provenance.json"

    def statistics(self, table: str) -> Path:
        """settings, mask_counts, summary or effects."""
        return self.root / "statistics" / f"{table}.parquet"

    def ground_truth(self, table: str) -> Path:
        """Images or objects: what the annotations know, each checked."""
        return self.root / "ground_truth" / f"{table}.parquet"

    def shard_accuracy(self, shard: str) -> Path:
        """How well every setting finds the true objects of a shard's images."""
        return self.root / "ground_truth" / "shards" / f"{shard}.parquet"

    @property
    def prompts(self) -> Path:
        """The given objects, each checked."""
        return self.root / "prompted" / "prompts.parquet"

    def prompted(self, shard: str) -> Path:
        """The masks of the given objects of a shard's images."""
        return self.root / "prompted" / f"{shard}.parquet"

    @property
    def prompted_annotations(self) -> Path:
        """The masks of all given objects, as COCO."""
        return self.root / "prompted" / "annotations.json"

    @property
    def prompted_statistics(self) -> Path:
        """How masks agree with what was given."""
        return self.root / "prompted" / "statistics.parquet"

    @property
    def prompted_settings(self) -> Path:
        """Means over all given objects, by setting."""
        return self.root / "prompted" / "settings.parquet"

    @property
    def prompted_worst(self) -> Path:
        """A picture of the masks that agree least."""
        return self.root / "prompted" / "worst.jpg"

    @property
    def tracked(self) -> TrackedLayout:
        """What comes of videos."""
        return TrackedLayout(self.root / "tracked")
