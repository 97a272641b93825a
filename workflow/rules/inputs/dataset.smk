"""Inputs and params of the dataset's rules."""

from maskgrid.config.pixels import PLAIN


@cache
@one_line
def listing():
    """Digest of the files at the source: a new, changed or missing file reruns the rule index.

    Jobs run in processes of their own, which must not list the dataset again.
    """
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.dataset.index import source_digest

    return source_digest(PLAN)


# How images are shown, for params; without the section, params are as before there was one.
PIXELS = (
    {"pixels": lambda wildcards: PLAN.config.dataset.pixels.model_dump_json()}
    if PLAN.config.dataset.pixels != PLAIN
    else {}
)
# Whether the index says where on the map images lie, likewise.
GEOREFERENCE = {"georeference": True} if PLAN.config.dataset.georeference else {}
# Whether images larger than max_pixels are good, likewise.
WINDOWS = {"in_windows": True} if PLAN.has_tiles else {}
# The optional packages that are there now and that an image of the index lacked once, likewise.
EXTRAS = extras_param(PLAN.layout.files)


def source_inputs():
    """The source's own file, or all files of a URL; the digest of the listing decides, unless they are fetched."""
    files = PLAN.source_files()
    return final(files) if is_url(PLAN.config.dataset.source) else missing(files)


def stored(file):
    """Register a file that the config names by URL with the storage plugin for such URLs."""
    try:
        return storage(file.url)
    except WorkflowError as error:
        scheme = file.url.partition("://")[0]
        raise WorkflowError(
            f"{file.key}: {file.url} needs one of Snakemake's storage plugins: "
            f"pip install snakemake-storage-plugin-{scheme}, or the one that its catalog lists for such URLs. {error}"
        ) from None


# Report a missing plugin before any work.
STORED = {file.path: stored(file) for file in PLAN.remote if workflow.is_main_process}


def remote_file(wildcards):
    """The file for the rule fetch, which runs only in the main process."""
    return STORED[wildcards.path]


def index_files():
    """All outputs of `index`: the rule all asks for each, because no other rule does and a missing one holds it up."""
    layout = PLAN.layout
    return final(
        str(path)
        for path in (layout.files, layout.images, layout.shards, layout.archives)
    )
