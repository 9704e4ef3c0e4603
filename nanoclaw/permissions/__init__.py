"""Who somebody is (``identity``), what they may do (``access``, ``rights``)."""
