"""The container's side of ``ncl``: words to a request, a request to a row, a frame to text."""
