"""The checkpoints that Meta published: where to get them, their sizes and hashes."""

from collections.abc import Mapping
from dataclasses import dataclass

_FOLDERS = {
    "sam2": "https://dl.fbaipublicfiles.com/segment_anything_2/072824",
    "sam2.1": "https://dl.fbaipublicfiles.com/segment_anything_2/092824",
}
_CONFIG_ENDINGS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}


@dataclass(frozen=True, slots=True)
class OfficialCheckpoint:
    """A checkpoint that Meta published.

    Attributes:
        url: where to download it.
        size_bytes: the file's size.
        sha256: the file's hash, hexadecimal.
        config: name of the config in the ``sam2`` package.
    """

    url: str
    size_bytes: int
    sha256: str
    config: str


def _official(name: str, size_bytes: int, sha256: str) -> OfficialCheckpoint:
    release, size = name.split("_hiera_")
    config = f"configs/{release}/{release}_hiera_{_CONFIG_ENDINGS[size]}.yaml"
    return OfficialCheckpoint(f"{_FOLDERS[release]}/{name}.pt", size_bytes, sha256, config)


# Sizes and hashes are from the files' LFS pointers in Hugging Face's facebook/sam2* repositories.
OFFICIAL: Mapping[str, OfficialCheckpoint] = {
    name: _official(name, size_bytes, sha256)
    for name, size_bytes, sha256 in (
        ("sam2.1_hiera_tiny", 156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
        ("sam2.1_hiera_small", 184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
        ("sam2.1_hiera_base_plus", 323_606_802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
        ("sam2.1_hiera_large", 898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
        ("sam2_hiera_tiny", 155_906_050, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
        ("sam2_hiera_small", 184_309_650, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
        ("sam2_hiera_base_plus", 323_493_298, "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"),
        ("sam2_hiera_large", 897_952_466, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"),
    )
}
