"""The command line, one module for each group of subcommands, and code that only the workflow calls."""
