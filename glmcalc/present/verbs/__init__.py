"""The subcommands: ``build_<name>`` adds the options of one, ``run_<name>`` answers and returns the exit code."""
