"""The config's filters as plainly as they can be written: over decoded masks, one mask and one pair at a time."""

from maskgrid.automatic.replay.selection import Selection
from maskgrid.config.filters import FilterConfig
from maskgrid.masks import rle


def plain_filters(selection: Selection, filters: FilterConfig, region=None) -> tuple[list[int], dict[str, int]]:
    """The positions of the masks that stay, and how many masks each filter drops."""
    masks = [rle.decode(code, selection.size_hw) for code in selection.counts()]
    proposed = list(zip(selection.layer.tolist(), selection.row.tolist(), strict=True))
    rank = [(-score, place) for score, place in zip(selection.predicted_iou().tolist(), proposed, strict=True)]
    points = selection.point_xy().tolist()
    height, width = selection.size_hw
    left, dropped = list(range(len(masks))), {}

    def keep(name, kept):
        nonlocal left
        kept = [at for at in left if at in set(kept)]
        dropped[f"n_dropped_{name}"], left = len(left) - len(kept), kept

    def where(test):
        return [at for at in left if test(masks[at])]

    def box(mask):
        ys, xs = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        return int(xs[0]), int(ys[0]), int(xs[-1]), int(ys[-1])

    def sides(mask):
        x0, y0, x1, y1 = box(mask)
        return x1 - x0 + 1, y1 - y0 + 1

    def far_from_border(mask):
        x0, y0, x1, y1 = box(mask)
        return min(x0, y0, width - 1 - x1, height - 1 - y1) > filters.border

    def in_region(at):
        if filters.min_region_frac is None:
            x, y = points[at]
            return region[min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1)]
        return (masks[at] & region).sum() / masks[at].sum() >= filters.min_region_frac

    def suppressed(order, overlap, limit):
        kept = []
        for at in order:
            if all(overlap(masks[at], masks[other]) <= limit for other in kept):
                kept.append(at)
        return kept

    def iou(one, other):
        return (one & other).sum() / (one | other).sum()

    def of_smaller(one, other):
        return (one & other).sum() / min(one.sum(), other.sum())

    keep("min_area_px", where(lambda mask: mask.sum() >= filters.min_area_px))
    keep("max_area_px", where(lambda mask: filters.max_area_px is None or mask.sum() <= filters.max_area_px))
    keep("min_area_frac", where(lambda mask: mask.sum() / mask.size >= filters.min_area_frac))
    keep("max_area_frac", where(lambda mask: mask.sum() / mask.size <= filters.max_area_frac))
    keep("border", where(lambda mask: filters.border is None or far_from_border(mask)))
    keep("min_fill", where(lambda mask: mask.sum() / (sides(mask)[0] * sides(mask)[1]) >= filters.min_fill_frac))
    most = filters.max_aspect_ratio
    keep("aspect_ratio", where(lambda mask: most is None or max(sides(mask)) / min(sides(mask)) <= most))
    keep("region", left if filters.region is None else [at for at in left if in_region(at)])
    by_score = sorted(left, key=lambda at: rank[at])
    keep("mask_nms", suppressed(by_score, iou, filters.mask_nms_thresh))
    sign = -1 if filters.containment_keeps == "larger" else 1
    by_size = sorted(left, key=lambda at: (sign * masks[at].sum(), rank[at]))
    keep("containment", suppressed(by_size, of_smaller, filters.max_containment_frac))
    keep("max_masks", sorted(left, key=lambda at: rank[at])[: filters.max_masks])
    return left, dropped
