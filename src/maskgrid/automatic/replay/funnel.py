"""The funnel: from the masks proposed to those kept, filter by filter."""

from dataclasses import dataclass, field

from maskgrid.automatic.replay.selection import Choice, Selection


@dataclass(slots=True)
class Funnel:
    """Counts what each filter drops.

    Attributes:
        n_left: masks that no filter has dropped so far, recorded or not.
        dropped: how many masks each filter dropped, by its column of ``mask_counts.parquet``.
    """

    n_left: int
    dropped: dict[str, int] = field(default_factory=dict)

    def keep(self, column: str, masks: Selection, choice: Choice, n_left: int | None = None) -> Selection:
        """Keep the masks that a filter chose, and count the others as dropped by it.

        Args:
            column: the filter's column of ``mask_counts.parquet``.
            masks: the masks before the filter.
            choice: which of them it keeps.
            n_left: how many it keeps in total, if masks that were not recorded pass it too.
        """
        kept = masks.take(choice)
        n_left = len(kept) if n_left is None else n_left
        self.dropped[column], self.n_left = self.n_left - n_left, n_left
        return kept
