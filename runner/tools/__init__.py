"""Tools that come with the runner, by family."""
