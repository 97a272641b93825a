"""The command line, a module for each group of subcommands, and what the workflow alone asks of the library."""
