"""The dataset card: a README for people, with the Hugging Face Hub's metadata on top."""

from collections.abc import Mapping
from typing import Any

import yaml

from maskgrid.config.models import DEMO
from maskgrid.config.settings import Setting, differences
from maskgrid.io.wording import TOY, count, interval, number, parameter, share, tally
from maskgrid.results.advice.text import config_block
from maskgrid.results.exports.facts import DatasetFacts

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MAX_SETTINGS = 20


def card(facts: DatasetFacts) -> str:
    """The card as Markdown. The same facts give the same text: it names no machine, folder or time."""
    parts = [
        f"---\n{_front_matter(facts)}---",
        f"# {facts.title}",
        f"> **{TOY[0].upper()}{TOY[1:]}.**" if DEMO in facts.checkpoints else "",
        _what(facts),
        _files(facts),
        _settings(facts),
        _accuracy(facts),
        _how(facts),
        _licences(),
        _limits(),
        f"<!-- fingerprint: {facts.fingerprint} -->",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: DatasetFacts) -> str:
    size = next((name for limit, name in _SIZES if facts.n_images < limit), "n>1M")
    tables = [name for name in facts.files if name.endswith(".parquet")]
    content = {
        "pretty_name": facts.title,
        "license": "unknown",
        "task_categories": ["mask-generation", "image-segmentation"],
        "tags": ["segment-anything", "sam2", "automatic-masks", "coco", "maskgrid"],
        "size_categories": [size],
        "configs": [
            {"config_name": _stem(name), "data_files": [{"split": "all", "path": name}], **_default(name)}
            for name in tables
        ],
    }
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].removesuffix(".parquet")


def _default(path: str) -> dict[str, bool]:
    return {"default": True} if _stem(path) == "mask_counts" else {}


def _what(facts: DatasetFacts) -> str:
    bad = tally({status: n for status, n in facts.statuses.items() if status != "ok"})
    inputs = f" Of {count(sum(facts.statuses.values()), 'input')} these could not be used: {bad}." if bad else ""
    return (
        f"Class-agnostic instance masks of {count(facts.n_images, 'image')}, made by SAM 2's automatic mask generator "
        f"through maskgrid {facts.version}, and statistics of how the number of masks depends on the generator's "
        f"parameters over {count(facts.n_settings, 'setting')}.{inputs} The images themselves are not part of it; "
        "`dataset/images.parquet` has their names, sizes and hashes."
    )


def _files(facts: DatasetFacts) -> str:
    rows = [f"| `{name}` | {words} |" for name, words in {**facts.files, **facts.folders}.items()]
    return "\n".join(["## Files", "", "| file | content |", "| --- | --- |", *rows])


def _settings(facts: DatasetFacts) -> str:
    rows = [_setting_row(setting, row, facts.baseline) for setting, row in facts.exported[:_MAX_SETTINGS]]
    head = ["| setting | masks | per image | 95 % interval | covered | differs from the baseline in |"]
    left_out = len(facts.exported) - len(rows)
    more = [f"\n{count(left_out, 'more setting')} in `statistics/summary.parquet`."] if left_out else []
    block = config_block(facts.baseline, facts.settings)
    baseline = ["", f"The baseline, `{facts.baseline.label}`:", "", "```yaml", block, "```"]
    return "\n".join(["## Masks", "", *head, "| --- | --: | --: | --: | --: | --- |", *rows, *more, *baseline])


def _setting_row(setting: Setting, row: Mapping[str, Any], baseline: Setting) -> str:
    cells = [
        f"`{setting.label}`",
        f"{row['n_masks_total']:,}",
        number(row["n_masks_mean"]),
        interval(row["n_masks_low"], row["n_masks_high"]),
        share(row["coverage_frac_mean"]),
        differences(setting, baseline),
    ]
    return f"| {' | '.join(cells)} |"


def _accuracy(facts: DatasetFacts) -> str:
    rows = [
        f"| `{setting.label}` | {number(row['f1_50'], 3)} | {interval(row['f1_50_low'], row['f1_50_high'], 3)} | "
        f"{number(row['recall_50'], 3)} | {number(row['precision_50'], 3)} | {number(row['ar_1000'], 3)} | "
        f"{number(row['best_iou_mean'], 3)} |"
        for setting, _ in facts.exported[:_MAX_SETTINGS]
        if (row := facts.accuracy.get(setting.id)) is not None
    ]
    if not rows:
        return ""
    head = [
        "## Against annotated objects",
        "",
        "| setting | F1 at IoU 0.5 | 95 % interval | recall | precision | AR@1000 | best IoU |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    return "\n".join([*head, *rows])


def _how(facts: DatasetFacts) -> str:
    checkpoints = [f"- checkpoint `{name}`, sha256 `{sha256}`" for name, sha256 in facts.checkpoints.items()]
    packages = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    lines = [
        "## How it was made",
        "",
        *checkpoints,
        *(f"- {name}: {parameter(value)}" for name, value in facts.model.items()),
        f"- {packages}",
        "- The network ran once; every setting of thresholds was replayed over what it proposed, exactly.",
        "- `provenance.json` has the config, and when and where the run took place.",
    ]
    return "\n".join(lines)


def _licences() -> str:
    return "\n".join(
        [
            "## Licences",
            "",
            "**The images' licences, and who is shown in them, are unknown to the program that wrote this.** Masks are "
            "derived from the images: find out whether you may publish them, then change `license` above.",
            "",
            "SAM 2's code and its official checkpoints are Meta's, under Apache-2.0; so is maskgrid.",
        ]
    )


def _limits() -> str:
    return "\n".join(["## Limits", "", *(f"- {limit}" for limit in _limit_lines())])


def _limit_lines() -> list[str]:
    return [
        "No person has checked the masks. They have no classes, they overlap, and parts and wholes stand side by side.",
        "`predicted_iou` is the network's own estimate, and `stability_score` says how sharp an outline is: neither "
        "measures quality.",
        "What is in no mask is not background: the thresholds decide what is kept.",
    ]
