"""Many trainings that differ in named ways, and what their differences say: grid, runner, statistics, report."""
