"""Effects: what was decided or asked for is carried out here, once, in the delivery process."""
