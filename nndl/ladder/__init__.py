"""The ladder: how many seconds of a CPU each accuracy takes, measured over seeds."""
