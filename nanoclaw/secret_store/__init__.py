"""Where secrets are kept: files of mode 0600, or the system's keyring."""
