"""First installation: the wizard, its steps, their report."""
