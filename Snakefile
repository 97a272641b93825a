# The entry for people in the checkout. Rules of an included file make no default target by themselves.
include: "workflow/Snakefile"


workflow.default_target = "all"
