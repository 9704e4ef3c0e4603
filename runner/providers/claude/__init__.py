"""The provider ``claude``: the Messages API, our own tool loop, conversation file and compaction."""
