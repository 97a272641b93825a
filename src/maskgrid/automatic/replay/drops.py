"""The columns that count what each of the config's ``filters`` drops."""

from collections.abc import Mapping

# What each filter drops, by its key: columns of mask_counts.parquet, in the order of the filters.
DROPS: Mapping[str, str] = {
    "min_area_px": "n_dropped_min_area_px",
    "max_area_px": "n_dropped_max_area_px",
    "min_area_frac": "n_dropped_min_area_frac",
    "max_area_frac": "n_dropped_max_area_frac",
    "border": "n_dropped_border",
    "min_fill_frac": "n_dropped_min_fill",
    "max_aspect_ratio": "n_dropped_aspect_ratio",
    "region": "n_dropped_region",
    "mask_nms_thresh": "n_dropped_mask_nms",
    "max_containment_frac": "n_dropped_containment",
    "max_masks": "n_dropped_max_masks",
}
NOTHING_DROPPED: Mapping[str, int] = dict.fromkeys(DROPS.values(), 0)
