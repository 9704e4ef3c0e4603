"""The host as a service: systemd, launchd, or neither."""
