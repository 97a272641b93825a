"""The checkpoints that Meta published."""

from collections.abc import Mapping
from dataclasses import dataclass

_SAM_2_1 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_SAM_2 = "https://dl.fbaipublicfiles.com/segment_anything_2/072824"


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


# Sizes and hashes are from the files' LFS pointers in Hugging Face's facebook/sam2* repositories.
OFFICIAL: Mapping[str, OfficialCheckpoint] = {
    "sam2.1_hiera_tiny": OfficialCheckpoint(
        url=f"{_SAM_2_1}/sam2.1_hiera_tiny.pt",
        size_bytes=156_008_466,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        config="configs/sam2.1/sam2.1_hiera_t.yaml",
    ),
    "sam2.1_hiera_small": OfficialCheckpoint(
        url=f"{_SAM_2_1}/sam2.1_hiera_small.pt",
        size_bytes=184_416_285,
        sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        config="configs/sam2.1/sam2.1_hiera_s.yaml",
    ),
    "sam2.1_hiera_base_plus": OfficialCheckpoint(
        url=f"{_SAM_2_1}/sam2.1_hiera_base_plus.pt",
        size_bytes=323_606_802,
        sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        config="configs/sam2.1/sam2.1_hiera_b+.yaml",
    ),
    "sam2.1_hiera_large": OfficialCheckpoint(
        url=f"{_SAM_2_1}/sam2.1_hiera_large.pt",
        size_bytes=898_083_611,
        sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        config="configs/sam2.1/sam2.1_hiera_l.yaml",
    ),
    "sam2_hiera_tiny": OfficialCheckpoint(
        url=f"{_SAM_2}/sam2_hiera_tiny.pt",
        size_bytes=155_906_050,
        sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        config="configs/sam2/sam2_hiera_t.yaml",
    ),
    "sam2_hiera_small": OfficialCheckpoint(
        url=f"{_SAM_2}/sam2_hiera_small.pt",
        size_bytes=184_309_650,
        sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        config="configs/sam2/sam2_hiera_s.yaml",
    ),
    "sam2_hiera_base_plus": OfficialCheckpoint(
        url=f"{_SAM_2}/sam2_hiera_base_plus.pt",
        size_bytes=323_493_298,
        sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        config="configs/sam2/sam2_hiera_b+.yaml",
    ),
    "sam2_hiera_large": OfficialCheckpoint(
        url=f"{_SAM_2}/sam2_hiera_large.pt",
        size_bytes=897_952_466,
        sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        config="configs/sam2/sam2_hiera_l.yaml",
    ),
}
