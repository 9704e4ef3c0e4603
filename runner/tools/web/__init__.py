"""The web, for agents whose model's endpoint cannot look there by itself."""
