"""Client of an external credential gateway (OneCLI), as a start of an agent needs it."""
