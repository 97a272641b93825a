"""The subcommands of ``maskgrid``, by the job that they belong to."""
