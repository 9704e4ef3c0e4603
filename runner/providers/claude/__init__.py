"""The provider ``claude``: the Messages API, our own tool loop, conversations and compaction."""
