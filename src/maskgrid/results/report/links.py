"""Links from the report into the explorer, at an image and a setting; none where they would lead nowhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from maskgrid.config.settings import Setting
from maskgrid.pages.markup import Html, element


@dataclass(frozen=True, slots=True)
class ExplorerLinks:
    """What the explorer can show.

    Attributes:
        images: the keys of its images; None for all images with masks.
        settings: the ids of the settings that it lists.
        baseline_id: the id of the setting that it shows if no other is named.
    """

    images: frozenset[str] | None
    settings: frozenset[str]
    baseline_id: str

    def address(self, image_key: str | None, setting: Setting | None = None) -> str | None:
        """The explorer's address for an image, a setting, or both; None if it has not got them.

        Args:
            image_key: the image; None for the one that the explorer begins with.
            setting: the setting; None for the baseline.
        """
        if self.images is not None and (not self.images if image_key is None else image_key not in self.images):
            return None
        if setting is not None and setting.id not in self.settings:
            return None
        state = {"image": image_key} if image_key is not None else {}
        if setting is not None and setting.id != self.baseline_id:
            state["setting"] = setting.label
        return "explorer.html#" + urlencode(state, quote_via=quote, safe="/")

    def linked(self, content: Html, image_key: str | None, setting: Setting | None = None) -> Html:
        """Content as a link, or as it is where there is nothing to link to."""
        address = self.address(image_key, setting)
        return content if address is None else element("a", {"href": address}, content)


def no_links() -> ExplorerLinks:
    """Links of a report without an explorer."""
    return ExplorerLinks(frozenset(), frozenset(), "")


def links_to(images: Iterable[str] | None, settings: Iterable[Setting], baseline: Setting) -> ExplorerLinks:
    """Links into an explorer with these images (None for all) and settings."""
    known = None if images is None else frozenset(images)
    return ExplorerLinks(known, frozenset(setting.id for setting in settings), baseline.id)
