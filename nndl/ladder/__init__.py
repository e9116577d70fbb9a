"""The ladder: what accuracy a CPU needs how many seconds for, measured over seeds."""
