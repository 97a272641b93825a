"""Read the report's data from the tables: means and counts for all images, details for a few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskgrid.io.checks import differs
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint, package_versions
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.listing import WrittenExport, written_exports
from maskgrid.results.notes import accuracy_origin
from maskgrid.results.report.exact import ExactCurves, exact_curves
from maskgrid.results.report.links import ExplorerLinks, no_links
from maskgrid.results.report.samples import Sample, read_samples
from maskgrid.results.statistics.curves import Answered, answered, response_curves
from maskgrid.results.statistics.moves import Move, parameter_moves
from maskgrid.results.statistics.spread import ImageCounts, read_image_counts

N_LINES = 30
N_WIDEST = 10
# Images of the explorer and of the contact sheets; the report draws the first of them.
_N_SAMPLES = 12
# Of these, the number on which settings disagree most.
_N_SAMPLES_WIDEST = 4
_MAX_FAILURES = 200
# Config keys for how a run is split and where it runs; no number in the report depends on them.
_WITHOUT_PART = {"dataset": {"shard_size"}, "model": {"device"}}


@dataclass(frozen=True, slots=True)
class Failure:
    """An image without masks, and why."""

    image_key: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The number of images without masks, and the first of them."""

    n_all: int
    first: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the results were made from and with.

    Attributes:
        config: the config, without keys that change no result.
        inputs: names and values of fingerprints.
        packages: versions of the packages that decide about masks.
    """

    config: dict[str, Any]
    inputs: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True, slots=True)
class ReportData:
    """The data of the report.

    Attributes:
        plan: the plan of the run.
        results: the settings with results, and their rows of the summary.
        moves: how far each swept parameter moves the number of masks, the largest first.
        effects: rows of the table of effects.
        interactions: rows of the table of interactions.
        accuracy: rows of the accuracy summary by setting id; empty without ground truth.
        tuning: rows of what ``tune`` found; empty without that section.
        tried: rows of the settings that it tried.
        images: how much settings disagree about images, and the counts of a few.
        samples: images to draw, with their candidates.
        exports: the masks in other forms.
        exact: the exact responses to thresholds.
        failures: the images without masks.
        provenance: what everything was made from.
        links: what can be linked in the explorer; nothing until that is written.
    """

    plan: Plan
    results: tuple[Answered, ...]
    moves: tuple[Move, ...]
    effects: tuple[dict[str, Any], ...]
    interactions: tuple[dict[str, Any], ...]
    accuracy: Mapping[str, dict[str, Any]]
    tuning: tuple[dict[str, Any], ...]
    tried: tuple[dict[str, Any], ...]
    images: ImageCounts
    samples: tuple[Sample, ...]
    exports: tuple[WrittenExport, ...]
    exact: ExactCurves
    failures: Failures
    provenance: Provenance
    links: ExplorerLinks

    @property
    def baseline(self) -> Answered | None:
        """The baseline's results, if it has any."""
        return next((one for one in self.results if one.setting.id == self.plan.baseline.id), None)


def read_report_data(plan: Plan) -> ReportData:
    """Read the statistics, and a few images with their candidates.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    layout = plan.layout
    summary = read_table(layout.statistics("summary"))
    effects = read_table(layout.statistics("effects")).to_pylist()
    interactions = read_table(layout.statistics("interactions")).to_pylist()
    images = read_image_counts(layout.statistics("mask_counts"), N_WIDEST, N_LINES)
    results = tuple(answered(plan.settings, summary.to_pylist()))
    swept = [curve.parameter for curve in response_curves(results, plan.baseline)]
    return ReportData(
        plan,
        results,
        tuple(parameter_moves(layout.statistics("mask_counts"), [one.setting for one in results])),
        tuple(effects),
        tuple(interactions),
        read_accuracy(plan),
        _tuning(plan, "outcome"),
        _tuning(plan, "settings"),
        images,
        tuple(read_samples(plan, images_to_draw(images))),
        tuple(written_exports(plan)),
        exact_curves(plan, swept, images),
        _failures(plan),
        _provenance(plan),
        no_links(),
    )


def read_accuracy(plan: Plan) -> dict[str, dict[str, Any]]:
    """Read the rows of the accuracy summary by setting id; empty without ground truth.

    Raises:
        maskgrid.io.errors.UserError: there is ground truth, but the table is missing, truncated or of another run.
    """
    if plan.ground_truth() is None:
        return {}
    path = plan.layout.statistics("accuracy_summary")
    rows = read_table(path).to_pylist()
    if differs(read_origin(path), lambda: accuracy_origin(plan)["fingerprint"]):
        raise UserError(f"{path}: was made from other masks or annotated objects; run maskgrid accuracy again")
    return {row["setting_id"]: row for row in rows if row["n_truth"]}


def _tuning(plan: Plan, name: str) -> tuple[dict[str, Any], ...]:
    return () if plan.config.tune is None else tuple(read_table(plan.layout.tuning(name)).to_pylist())


def images_to_draw(images: ImageCounts) -> list[str]:
    """The images on which settings disagree most, then others chosen by hash."""
    widest = [spread.image_key for spread in images.widest[:_N_SAMPLES_WIDEST]]
    others = [key for key in images.sampled if key not in widest]
    return [*widest, *others][:_N_SAMPLES]


def _failures(plan: Plan) -> Failures:
    """Images that could not be read or on which the network failed, each once."""
    layout = plan.layout
    passes = [layout.pass_images(run, shard) for run in plan.runs for shard in plan.shards()]
    found: dict[str, Failure] = {}
    for path in [*reversed(passes), layout.images]:
        for row in read_table(path, ["image_key", "status", "message"], [("status", "!=", "ok")]).to_pylist():
            found[row["image_key"]] = Failure(row["image_key"], row["status"], row["message"] or "")
    return Failures(len(found), tuple(found[key] for key in sorted(found)[:_MAX_FAILURES]))


def _provenance(plan: Plan) -> Provenance:
    images = read_table(plan.layout.images, ["image_key", "sha256"], [("status", "=", "ok")]).to_pylist()
    contents = sorted([row["image_key"], row["sha256"]] for row in images)
    inputs = {
        "images": fingerprint({"images": contents}),
        "settings": plan.settings_digest(),
        **checkpoint_hashes(plan, plan.shards()),
    }
    return Provenance(plan.config.model_dump(mode="json", exclude=_WITHOUT_PART), inputs, package_versions())


def checkpoint_hashes(plan: Plan, shards: Sequence[str]) -> dict[str, str]:
    """The hash of each checkpoint, from the candidates made with it."""
    hashes: dict[str, str] = {}
    for run in plan.runs:
        for shard in shards[:1]:
            path = plan.layout.candidates(run, shard)
            hashes[f"checkpoint {run.checkpoint}"] = read_origin(path).get("checkpoint_sha256", "unknown")
    return hashes
