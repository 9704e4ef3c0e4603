"""Engage patterns in linear time: ``tree`` and ``parse`` read, ``program`` and ``search`` run."""
