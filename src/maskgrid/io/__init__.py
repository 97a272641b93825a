"""Files that are absent or complete: errors, files, tables, the journal, checks."""
