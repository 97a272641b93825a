"""Where everything lies in the folder ``tracked`` of a results folder."""

from dataclasses import dataclass
from pathlib import Path

# How the exports of a run end; those without a suffix are folders.
_ENDS = {"sa_v": ".json", "png": "", "palette": "", "overlay": ".webp"}


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
