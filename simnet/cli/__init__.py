"""The command line: one file per command, each thin over the rooms below."""
