"""An external credential gateway (OneCLI) behind the vault: parent proxy, approvals, health."""
