"""What agents may reach: the rules' grammar, and the decision about one request. Pure."""
