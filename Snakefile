# The entry point in a checkout. An included file's rules do not become the default target by themselves.
include: "workflow/Snakefile"


workflow.default_target = "all"
