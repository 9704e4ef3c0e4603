"""One archive for whoever helps, with everything secret taken out."""
