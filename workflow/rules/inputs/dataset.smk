"""What the rules of the dataset take."""

@cache
def listing():
    """A digest of what lies at the source: a new, changed or missing file makes the index run again.

    Jobs on other machines run one rule each and must not list the dataset for it.
    """
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.dataset.index import source_digest

    with one_line_errors():
        return source_digest(PLAN)


def stored(file):
    """A file that the config names by URL, as the storage plugin that takes such URLs knows it."""
    try:
        return storage(file.url)
    except WorkflowError as error:
        scheme = file.url.partition("://")[0]
        raise WorkflowError(
            f"{file.key}: {file.url} is fetched by a storage plugin of Snakemake: "
            f"pip install snakemake-storage-plugin-{scheme}, or what its catalog names for such URLs. {error}"
        ) from None


# A plugin that is missing is said before any work.
STORED = {file.path: stored(file) for file in PLAN.remote if workflow.is_main_process}


def remote_file(wildcards):
    """What the rule fetch fetches; it runs in the main process alone."""
    return STORED[wildcards.path]


def index_files():
    """All that `index` writes: as long as one is missing the checkpoint is not passed, and none else asks for each."""
    layout = PLAN.layout
    return [
        str(path)
        for path in (layout.files, layout.images, layout.shards, layout.archives)
    ]
